"""The clusters that tests share."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep import harness_slurm
from tests.sweep.harness_ray import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Ray cluster that has a head node, and those that tests add."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: the extra `ray` has it")
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def slurm_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The slurm.conf of a Slurm cluster of one node."""
    if reason := harness_slurm.why_not():
        pytest.skip(reason)
    with harness_slurm.cluster(tmp_path_factory.mktemp("slurm")) as path:
        yield path
