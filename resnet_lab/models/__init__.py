"""The 6n+2-layer networks of He et al. 2015, Sec. 4.2, plain and residual."""
