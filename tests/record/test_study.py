"""Studies on disk: the runs that a name stands for."""

import pytest

from resnet_lab.errors import ConfigError
from resnet_lab.record.study import find_runs


def test_runs_are_found_by_study_name_or_folder(study):
    def names_of_runs(*arguments):
        return [folder.path.name for folder in find_runs(study.parent, arguments)]

    assert set(names_of_runs("s")) == {"plain-8-s0", "plain-14-s0", "residual-8-s0", "residual-14-s0"}
    assert names_of_runs("s/plain-8-s0", str(study / "plain-8-s0")) == ["plain-8-s0"]
    with pytest.raises(ConfigError, match="There is no study 'nothing'"):
        find_runs(study.parent, ["nothing"])
