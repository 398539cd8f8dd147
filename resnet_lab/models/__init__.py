"""The networks of He et al. 2015, plain and residual: for CIFAR-10 (Sec. 4.2) and for ImageNet (Table 1)."""
