"""Randomness as a function of (seed, purpose, step); the global generators are never used.

A run therefore resumes exactly at any step without restoring generator state, more frequent evaluation does not change results,
and both networks of a matched pair get the same batches, crops, flips and initial values.
"""

import hashlib

import torch


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """A new CPU generator that depends only on its arguments. Draw on the CPU, then move: all devices get the same values."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
