"""What an analysis looks at: a run's network at a checkpoint and the run's own data."""

from types import SimpleNamespace

import pytest

from resnet_lab.analysis.subject import subjects
from resnet_lab.errors import CheckpointError
from resnet_lab.models.resnet import build
from resnet_lab.record.store import RunFolder
from resnet_lab.run import trained as trained_room
from tests.builders import CPU, same_tensors, tiny


def test_checkpoints_are_never_replaced_by_random_weights(study):
    folder = RunFolder(study / "plain-8-s0")
    assert [subject.step for subject in subjects([folder], None, CPU)] == [8]
    assert [subject.step for subject in subjects([folder], 4, CPU)] == [4]
    initial = next(subjects([folder], 0, CPU))
    assert same_tensors(initial.net.state_dict(), build(initial.config.model, 0).state_dict())
    with pytest.raises(CheckpointError, match="no checkpoint of step 5; there are those of: 4, 8"):
        subjects([folder], 5, CPU)
    fresh = RunFolder(study / "plain-14-s9")
    fresh.create(tiny(model__kind="plain", model__depth=14, seed=9))
    with pytest.raises(
        CheckpointError, match="has no checkpoint yet: train it first, or look at its initial network with --at 0"
    ):
        subjects([folder, fresh], None, CPU)


def test_a_run_is_analysed_on_the_images_of_its_seed(tmp_path, monkeypatch):
    """All training images, so that the seed decides nothing but which test images are taken."""
    monkeypatch.setattr(
        trained_room,
        "load",
        lambda config, folder, seed, begun: SimpleNamespace(to=lambda device: SimpleNamespace(seed=seed, digests=None)),
    )
    schedule = {"name": "milestones"}
    config = tiny(seed=3, data__train_images=50_000, data__validation_images=0, recipe__schedule=schedule)
    folder = RunFolder(tmp_path / "run")
    folder.create(config)
    assert next(subjects([folder], 0, CPU)).data.seed == 3
