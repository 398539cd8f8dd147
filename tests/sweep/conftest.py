"""The Ray cluster that tests share."""

import importlib.util
from collections.abc import Iterator

import pytest

from tests.sweep.harness_ray import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster that has a head node, and those that tests add."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: the extra `ray` has it")
    cluster = Cluster()
    yield cluster
    cluster.close()
