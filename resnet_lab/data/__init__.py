"""Data sets as uint8 tensors, their augmentation, and the batches of a step."""
