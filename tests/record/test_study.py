"""A study on disk: which runs a name stands for."""

import pytest

from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import find_runs
from tests.builders import KINDS


def names(study):
    return [RunFolder(study / f"{kind}-{depth}-s0") for kind in KINDS for depth in (8, 14)]


def test_runs_are_named_by_study_or_folder(study, tmp_path):
    every = {folder.path.name for folder in names(study)}
    assert {each.path.name for each in find_runs(study.parent, ["s"])} == every
    assert [each.path.name for each in find_runs(study.parent, ["s/plain-8-s0", str(study / "plain-8-s0")])] == ["plain-8-s0"]
    with pytest.raises(ConfigError, match="There is no study 'nothing'"):
        find_runs(study.parent, ["nothing"])
