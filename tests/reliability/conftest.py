"""What the tests of reliability share: the table of figures, and how hypothesis repeats them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.reliability.scale import times

Figure = Callable[[str, str, str], None]

settings.register_profile(
    "reliability",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=times(100, 10_000),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("reliability")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Record a figure: its number, what was tried and what came out, as a line of the file $RESNET_LAB_FIGURES, if set."""

    def record(number: str, tried: str, outcome: str) -> None:
        target = os.environ.get("RESNET_LAB_FIGURES")
        if target:
            values = {"figure": number, "tried": tried, "outcome": outcome, "test": request.node.nodeid}
            with Path(target).open("a") as file:
                file.write(json.dumps(values) + "\n")

    return record
