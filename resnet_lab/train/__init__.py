"""The training loop, the lr schedule, the training state, and evaluation."""
