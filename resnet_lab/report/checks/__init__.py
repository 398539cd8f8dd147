"""The checks of `resnet-lab verify`. They read a study's files; nothing is trained, and no checkpoint is loaded."""
