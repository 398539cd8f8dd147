"""What `resnet-lab verify` checks of a study at rest; nothing is trained, and no checkpoint is loaded."""
