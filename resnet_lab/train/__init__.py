"""The training loop, its schedule, its state and the evaluation of a network."""
