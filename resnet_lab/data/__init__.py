"""Data sets, their augmentation, and mini-batches."""
