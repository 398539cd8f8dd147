"""Figures of reliability for the table that `make soak` prints, and how often property tests repeat."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("reliability", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
settings.load_profile("reliability")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """Record a figure: its number in docs/reliability.md, what was tried, what came out."""

    def record(number: str, tried: str, outcome: str) -> None:
        if path := os.environ.get("RESNET_LAB_FIGURES"):
            line = {"figure": number, "tried": tried, "outcome": outcome, "test": request.node.nodeid}
            with Path(path).open("a") as file:
                file.write(json.dumps(line) + "\n")

    return record
