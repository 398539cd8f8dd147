"""The identity analysis of a run: its errors, training that starts from the construction, and stored results."""

import pytest

from resnet_lab.analysis.catalogue.identity import constructions
from resnet_lab.analysis.identity import (
    continuation,
    continuation_folder,
    identity,
    saved,
    starting_point,
    with_continuation,
    with_earlier_training,
)
from resnet_lab.analysis.results import save
from resnet_lab.analysis.subject import subjects
from resnet_lab.config.schema import Milestones
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import train_in
from tests.builders import CPU, KINDS, same_tensors, tiny, trained_subject


@pytest.mark.parametrize("kind", KINDS)
def test_result_has_the_errors_of_shallow_constructed_and_scratch_networks(study, kind):
    shallow, deep = subjects([RunFolder(study / f"{kind}-8-s0"), RunFolder(study / f"{kind}-14-s0")], None, CPU)
    result = identity(shallow, 14, deep)
    assert (result.train_images, result.test_images, result.max_difference, result.changed_predictions) == (80, 20, 0, 0)
    last = shallow.folder.read().evaluations[-1]
    assert result.shallow.train == result.constructed.train == pytest.approx(last.train_error)
    assert result.constructed.test == pytest.approx(last.test_error)
    assert result.scratch is not None
    assert result.scratch.train == pytest.approx(deep.folder.read().evaluations[-1].train_error)


def train_from_construction(shallow, stop):
    folder = continuation_folder(shallow, 14, 6)
    start = starting_point(shallow, 14)
    list(train_in(folder, continuation(shallow.config, 14, 6), shallow.data, shallow.device, 1, stop, start))


def test_interrupted_training_from_the_construction_gives_identical_weights(study, monkeypatch):
    shallow = trained_subject(study, "plain-8-s0")
    result = identity(shallow, 14, None, 10)
    stops = iter([False, False, True])
    train_from_construction(shallow, lambda: next(stops, True))
    folder = continuation_folder(shallow, 14, 6)
    assert folder.read().state == "interrupted"
    train_from_construction(shallow, lambda: False)
    resumed_weights = checkpoint.load(folder, 6)["net"]
    assert folder.read().state == "finished"
    folder.path.rename(study / "elsewhere")
    train_from_construction(shallow, lambda: False)
    assert same_tensors(resumed_weights, checkpoint.load(folder, 6)["net"])
    continued = with_continuation(result, folder).continued
    assert continued is not None
    assert (continued.steps, continued.step) == (6, 6)
    assert [point.step for point in continued.curve] == [1, 2, 3, 4, 5, 6]
    save(shallow.folder, with_continuation(result, folder))
    repeated = with_earlier_training(identity(shallow, 14, trained_subject(study, "plain-14-s0"), 10), shallow)
    assert repeated.continued == continued
    assert with_earlier_training(identity(shallow, 20, None, 10), shallow).continued is None


def test_stored_result_is_reused_only_for_the_same_request(study):
    shallow = trained_subject(study, "plain-8-s0")
    result = identity(shallow, 14, None, 10)
    assert saved(shallow, 14, None, 10) is None
    save(shallow.folder, result)
    assert saved(shallow, 14, None, 10) == result
    assert saved(shallow, 14, None, None) is saved(shallow, 20, None, 10) is None
    assert saved(shallow, 14, trained_subject(study, "plain-14-s0"), 10) is None


def test_continuation_scales_the_schedule_to_its_number_of_steps():
    config = tiny(
        model__kind="plain",
        recipe__steps=600,
        recipe__schedule={"name": "milestones", "milestones": ["60 %", "85 %"]},
        log__keep=[3],
    )
    longer = continuation(config, 14, 60)
    assert longer.recipe.schedule == Milestones(name="milestones", milestones=(36, 51))
    assert (longer.model.depth, longer.recipe.steps, longer.recipe.lr, longer.log.keep) == (14, 60, config.recipe.lr, ())
    assert continuation(config, 14, 1).recipe.schedule == Milestones(name="milestones", milestones=())


def folders(study, *changes_of_runs):
    """Runs without records, of depth 14 unless changed."""
    for changes in changes_of_runs:
        config = tiny(**{"model": {"kind": "plain", "depth": 14, "width": 4}} | changes)
        folder = RunFolder(study / config.name)
        folder.create(config)
        yield folder


def test_networks_with_varied_settings_are_neither_shallow_nor_from_scratch(tmp_path):
    shallow = tiny(model={"kind": "plain", "depth": 8, "width": 4})
    varied = {"recipe__lr": 0.2, "varied": ["recipe.lr"]}
    first, second, third = folders(tmp_path, {"model": shallow.model.model_dump()}, {}, varied)
    assert constructions([first, second, third], None) == [(first, 14, second)]
    assert constructions([third], 20) == [(third, 20, None)]
