"""Experiments on trained networks: why plain ones degrade."""
