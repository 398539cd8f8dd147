"""Randomness as a function of (seed, purpose, step): nothing reads or moves the global generators.

So a run resumes exactly at any step with no generator state to restore, evaluating more often changes nothing, and the
members of a matched pair see the same batches, crops, flips and initial values.
"""

import hashlib

import torch


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """A fresh CPU generator that depends on its arguments alone. Draw on the CPU, then move: every device sees the same."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
