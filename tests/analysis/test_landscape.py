"""Loss surfaces and lines between networks: compared with a direct computation, and resumed where they stopped."""

import pytest
import torch

from resnet_lab.analysis.catalogue.landscape import Landscape
from resnet_lab.analysis.catalogue.line import Line
from resnet_lab.analysis.construction import construct
from resnet_lab.analysis.landscape import FAST, Slice, direction, displaced, interpolated, landscape, line, with_batch_statistics
from resnet_lab.analysis.subject import subset
from resnet_lab.config.model import ModelConfig
from resnet_lab.data.batches import clean_batches
from resnet_lab.errors import ConfigError
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import build
from resnet_lab.train.evaluate import evaluate
from tests.builders import random_batch, trained_network, trained_subject

SMALL = Slice(points=3, images=30)


def result_of(measuring):
    *progress, result = list(measuring)
    assert progress[-1][0] == progress[-1][1] == len(progress)
    return result


def test_directions_have_the_filters_norms_and_are_equal_for_a_matched_pair():
    plain, _ = trained_network("plain")
    residual, _ = trained_network("residual")
    plain_direction, residual_direction = direction(plain, 0, 0), direction(residual, 0, 0)
    assert len(plain_direction) == 8  # seven convolutions and the head
    for name, filters in plain_direction.items():
        weight = plain.get_parameter(name)
        assert torch.allclose(filters.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1), rtol=1e-5)
        cosine = torch.nn.functional.cosine_similarity(filters.flatten(1), residual_direction[name].flatten(1))
        assert torch.allclose(cosine, torch.ones_like(cosine), atol=1e-5)
    assert not torch.allclose(plain_direction["stem.conv.weight"], direction(plain, 1, 0)["stem.conv.weight"])
    assert not torch.allclose(plain_direction["stem.conv.weight"], direction(plain, 0, 1)["stem.conv.weight"])
    moved_net = displaced(plain, [plain_direction], (0.5,))
    changed_names = {name for name, value in moved_net.state_dict().items() if not torch.equal(value, plain.state_dict()[name])}
    assert changed_names == set(plain_direction)
    assert torch.allclose(moved_net.stem.conv.weight, plain.stem.conv.weight + 0.5 * plain_direction["stem.conv.weight"])


@pytest.mark.parametrize("bn", ["moving", "batch"])
def test_middle_point_of_a_slice_is_the_network_itself(study, bn):
    run = trained_subject(study, "residual-8-s0")
    result = result_of(landscape(run, Slice(dims=2, points=3, images=30, bn=bn)))
    assert isinstance(result, Landscape)
    assert result.coordinates == (-1.0, 0.0, 1.0)
    images = subset(run.data.train, 30, "train")
    net = folded(run.net) if bn == "moving" else with_batch_statistics(run.net)
    error, loss = evaluate(net, clean_batches(images, run.data.mean, None if bn == "moving" else 250))
    assert (result.losses[1][1], result.errors[1][1]) == (loss, error)
    axes = [direction(run.net, 0, axis) for axis in (0, 1)]
    corner = displaced(run.net, axes, (1.0, -1.0))  # first row, last column
    net = folded(corner) if bn == "moving" else with_batch_statistics(corner)
    assert result.losses[0][2] == evaluate(net, clean_batches(images, run.data.mean, None if bn == "moving" else 250))[1]


def test_with_batch_statistics_scaling_a_filter_changes_nothing(study):
    run = trained_subject(study, "residual-8-s0")
    images = random_batch(50)[0]
    net = with_batch_statistics(run.net)
    with torch.no_grad():
        expected = net.eval()(images)
        for name in direction(run.net, 0, 0):
            if "head" not in name:
                net.get_parameter(name).mul_(3)
        assert torch.allclose(net(images), expected, atol=1e-3)


def stopped_after(points, run):
    """Stop measuring a slice after a number of points; returns the file that keeps them."""
    measuring = landscape(run, SMALL)
    assert [next(measuring) for _ in range(points)][-1] == (points, 9)
    measuring.close()
    [kept_points] = partial_files(run)
    return kept_points


def partial_files(run):
    return list(run.folder.analysis.glob("*.part.jsonl"))


def test_a_stopped_slice_resumes_after_a_torn_line_to_the_same_result(study):
    run = trained_subject(study, "residual-8-s0")
    uninterrupted = result_of(landscape(run, SMALL))
    kept_points = stopped_after(4, run)
    kept_points.write_text(kept_points.read_text() + "[4, 2.0, 0.")
    assert result_of(landscape(run, SMALL)) == uninterrupted
    assert partial_files(run) == []


def test_a_resumed_slice_does_not_measure_the_kept_points_again(study):
    run = trained_subject(study, "residual-8-s0")
    kept_points = stopped_after(4, run)
    kept_points.write_text("".join(f"[{index}, {100.0 + index}, 0.5]\n" for index in range(4)))  # losses no network has
    losses = [loss for row in result_of(landscape(run, SMALL)).losses for loss in row]
    assert losses[:4] == [100.0, 101.0, 102.0, 103.0]
    assert max(losses[4:]) < 100


def test_slices_with_other_settings_keep_their_points_in_other_files(study):
    run = trained_subject(study, "residual-8-s0")
    next(landscape(run, SMALL))
    next(landscape(run, Slice(points=3, images=30, seed=1)))
    assert len(partial_files(run)) == 2


def test_loss_that_is_not_finite_is_stored_as_none(study):
    run = trained_subject(study, "residual-8-s0")
    result = result_of(landscape(run, Slice(dims=1, points=3, images=10, reach=1e30)))
    assert (result.losses[0][0], result.losses[0][2]) == (None, None)
    assert result.losses[0][1] is not None
    assert Landscape.model_validate_json(result.model_dump_json()) == result


def test_line_passes_through_its_two_networks(study):
    run = trained_subject(study, "residual-8-s0")
    other = build(run.config.model, 5)
    result = result_of(line(run, other, "other", 7, points=7, images=20, bn="moving"))
    assert isinstance(result, Line)
    assert result.positions == (-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    train, test = subset(run.data.train, 20, "train"), subset(run.data.test, 20, "test")
    for place, net in ((1, run.net), (5, other)):
        error, loss = evaluate(folded(net), clean_batches(train, run.data.mean))
        assert result.train_losses[place] == pytest.approx(loss, rel=1e-5)
        assert result.train_errors[place] == error
        assert result.test_errors[place] == evaluate(folded(net), clean_batches(test, run.data.mean))[0]
    middle = interpolated(run.net, other.state_dict(), 0.5)
    assert torch.allclose(middle.stem.conv.weight, (run.net.stem.conv.weight + other.stem.conv.weight) / 2)
    deeper_net = build(ModelConfig(kind="residual", depth=14, width=4), 0)
    with pytest.raises(ConfigError, match="There is no straight line from residual-8-s0 to deep"):
        next(line(run, deeper_net, "deep", 0, points=3, images=20, bn="batch"))


def test_variances_beyond_the_ends_of_a_line_are_never_negative():
    left, right = (build(ModelConfig(kind="plain", depth=8, width=2), seed) for seed in (0, 1))
    for buffer in right.buffers():
        buffer.fill_(9)
    beyond, between = (interpolated(left, right.state_dict(), place).state_dict() for place in (-0.25, 0.25))
    assert beyond["stem.norm.running_var"].tolist() == [0, 0]  # and not 1.25 - 0.25 * 9
    assert beyond["stem.norm.running_mean"].tolist() == [-2.25, -2.25]
    assert between["stem.norm.running_var"].tolist() == [3, 3]


def test_kept_points_of_another_network_with_the_same_name_are_not_used(study):
    run = trained_subject(study, "residual-8-s0")
    first, second = build(run.config.model, 5), build(run.config.model, 6)
    stopped_line = line(run, first, "other", 7, points=7, images=20, bn="batch")
    next(stopped_line)
    stopped_line.close()
    result = result_of(line(run, second, "other", 7, points=7, images=20, bn="batch"))
    for path in run.folder.analysis.glob("line-*.part.jsonl"):
        path.unlink()
    assert result == result_of(line(run, second, "other", 7, points=7, images=20, bn="batch"))
    moving = result.model_copy(update={"bn": "moving"})
    assert moving.file_name != result.file_name


def test_line_from_a_construction_starts_with_the_shallow_networks_errors(study):
    run = trained_subject(study, "plain-8-s0")
    deep = construct(run.net, run.config, 14)
    assert evaluate(
        folded(interpolated(deep, build(run.config.model.model_copy(update={"depth": 14}), 1).state_dict(), 0.0)),
        [random_batch()],
    ) == pytest.approx(evaluate(folded(run.net), [random_batch()]))


def test_fast_slice_is_centred_on_the_network():
    assert FAST.coordinates[4] == 0
    assert FAST.coordinates[0] == -FAST.coordinates[-1] == -1
