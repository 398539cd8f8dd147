"""The subject of an analysis: a run's network at a checkpoint, with the run's own data."""

import pytest
import torch

from resnet_lab.analysis.subject import subjects
from resnet_lab.data.load import load
from resnet_lab.errors import CheckpointError
from resnet_lab.models.resnet import build
from resnet_lab.record.store import RunFolder
from tests.builders import CPU, same_tensors, tiny


def test_missing_checkpoint_is_an_error_and_never_random_weights(study):
    folder = RunFolder(study / "plain-8-s0")
    assert [subject.step for subject in subjects([folder], None, CPU)] == [8]
    assert [subject.step for subject in subjects([folder], 4, CPU)] == [4]
    initial = next(subjects([folder], 0, CPU))
    assert same_tensors(initial.net.state_dict(), build(initial.config.model, 0).state_dict())
    with pytest.raises(CheckpointError, match="no checkpoint at step 5; available steps: 4, 8"):
        subjects([folder], 5, CPU)
    untrained = RunFolder(study / "plain-14-s9")
    untrained.create(tiny(model__kind="plain", model__depth=14, seed=9))
    with pytest.raises(CheckpointError, match=r"has no checkpoint yet: .* use --at 0 for its initial network"):
        subjects([folder, untrained], None, CPU)
    untrained.append_event("finished", 8)
    with pytest.raises(CheckpointError, match=r"has ended, but its checkpoints are not here: .*, or use --at 0"):
        subjects([untrained], None, CPU)


def test_run_is_analysed_on_the_images_drawn_by_its_seed(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(config := tiny(seed=3))
    data = next(subjects([folder], 0, CPU)).data
    drawn, of_another_seed = (load(config.data, tmp_path, seed) for seed in (3, 0))
    assert torch.equal(data.validation.images, drawn.validation.images)
    assert torch.equal(data.train.images, drawn.train.images)
    assert not torch.equal(data.train.images, of_another_seed.train.images)
