"""Matched plain and residual networks on CIFAR-10: the degradation problem, shown and measured (He et al. 2015)."""
