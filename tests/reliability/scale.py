"""How often a reliability test repeats: a few times in the suite, as often as docs/reliability.md says under `make soak`."""

import os

SOAK = os.environ.get("RESNET_LAB_SOAK") == "1"


def times(fast: int, soak: int) -> int:
    """`soak` under `make soak`, else `fast`."""
    return soak if SOAK else fast
