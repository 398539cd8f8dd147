"""Sweeps: which runs a study consists of, and how they are launched."""
