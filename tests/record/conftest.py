"""The fixture that tests of a run's folder share."""

import pytest

from resnet_lab.record.store import RunFolder
from tests.builders import tiny


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """The folder of a run that has not started."""
    run_folder = RunFolder(tmp_path / "runs" / "study" / "residual-8-s0")
    run_folder.create(tiny())
    return run_folder
