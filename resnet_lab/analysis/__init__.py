"""Analyses of trained networks, to find out why plain ones degrade."""
