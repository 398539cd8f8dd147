"""How often the tests of reliability repeat: a few times in the suite, many times in `make soak`."""

import os


def times(fast: int, soak: int) -> int:
    """`soak` where RESNET_LAB_SOAK=1, else `fast`."""
    return soak if os.environ.get("RESNET_LAB_SOAK") == "1" else fast
