"""Studies on disk: the runs that a name stands for."""

import json

import pytest

from resnet_lab.errors import ConfigError
from resnet_lab.record.lines import TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import find_runs, find_study, read_study, study_folders, study_path
from tests.builders import tiny


def test_runs_are_found_by_study_name_or_folder(study):
    def names_of_runs(*arguments):
        return [folder.path.name for folder in find_runs(study.parent, arguments)]

    assert set(names_of_runs("s")) == {"plain-8-s0", "plain-14-s0", "residual-8-s0", "residual-14-s0"}
    assert names_of_runs("s/plain-8-s0", str(study / "plain-8-s0")) == ["plain-8-s0"]
    with pytest.raises(ConfigError, match="There is no study 'nothing'"):
        find_runs(study.parent, ["nothing"])


def test_faults_do_not_contain_the_path_of_the_study(folder, tmp_path):
    (folder.path / "config.json").write_text("{")
    faults = read_study(folder.path.parent).faults
    assert len(faults) == 1
    assert str(tmp_path) not in faults[0]


def test_studies_are_sorted_by_age_and_unreadable_runs_are_named(folder, tmp_path):
    root = tmp_path / "runs"
    other = RunFolder(root / "another" / "plain-8-s0")
    other.create(tiny(model={"kind": "plain", "depth": 8}))
    other.append(TrainRecord(1, 0.5, 1.0, 0.1, 16, 0.5))
    assert [path.name for path in study_folders(root)] == ["study", "another"]
    assert find_study(root, None).name == "another"
    (folder.path / "config.json").write_text(json.dumps({"model": {"kind": "oval"}}))
    study = read_study(root / "study")
    assert study.runs == ()
    assert len(study.faults) == 1
    assert "residual-8-s0 cannot be read" in study.faults[0]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/root"])
def test_the_name_of_a_study_must_be_a_plain_folder_name(name, tmp_path):
    with pytest.raises(ConfigError, match="--study expects a plain folder name"):
        study_path(tmp_path, name)
