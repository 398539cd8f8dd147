"""Loss surfaces, lines between networks and removed blocks: against hand computation; resumable; the network left as it was."""

import json

import pytest
import torch

from resnet_lab.analysis import landscape as module
from resnet_lab.analysis import surfaces
from resnet_lab.analysis.catalogue.landscape import Landscape, table
from resnet_lab.analysis.catalogue.line import Line
from resnet_lab.analysis.construction import construct
from resnet_lab.analysis.definition import Finding
from resnet_lab.analysis.landscape import FAST, Slice, direction, displaced, interpolated, landscape, line
from resnet_lab.analysis.paths import block_names, paths, random_removals, without
from resnet_lab.analysis.subject import subjects, subset
from resnet_lab.config.schema import ModelConfig
from resnet_lab.data.batches import clean_batches
from resnet_lab.errors import ConfigError
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import build
from resnet_lab.models.shortcuts import make_shortcut
from resnet_lab.record.store import RunFolder
from resnet_lab.report.figures import svg
from resnet_lab.report.write import write_report
from resnet_lab.study.compare import compare_study
from resnet_lab.train.evaluate import evaluate
from tests.builders import CPU, KINDS, copied_state, random_batch, same_tensors, trained_network

SMALL = Slice(points=3, images=30)


def subject(study, name="residual-8-s0"):
    return next(subjects([RunFolder(study / name)], None, CPU))


def result_of(measuring):
    *progress, result = list(measuring)
    assert progress[-1][0] == progress[-1][1] == len(progress)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_block_leaves_its_shortcut(kind):
    net, _ = trained_network(kind, depth=14)
    net.eval()
    images = random_batch()[0]
    with torch.no_grad():
        x = net.stages[0][0](net.stem(images).relu())  # without stages.0.1
        x = net.stages[1](x)
        x = torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x)[:, :, ::2, ::2]], 1)  # without stages.2.0
        x = net.stages[2][1](x)
        expected = net.head(x.mean((2, 3)))
        before = copied_state(net)
        for whole in (net, folded(net)):
            assert torch.allclose(without(whole, ["stages.0.1", "stages.2.0"])(images), expected, atol=1e-5)
        assert torch.equal(without(net, [])(images), net(images))
    assert same_tensors(before, copied_state(net))


@pytest.mark.parametrize(
    "model",
    [
        {"shortcut": "C"},
        {"pad_channels": "both"},
        {"block": "bottleneck", "depth": 20},
        {"block": "bottleneck", "depth": 20, "shortcut": "B"},
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_every_form_can_be_removed(kind, model):
    net, _ = trained_network(kind, **({"depth": 14} | model | ({"shortcut": "A"} if kind == "plain" else {})))
    images, pad = random_batch()[0], model.get("pad_channels", "end")
    net.eval()
    with torch.no_grad():
        block = net.get_submodule("stages.1.0")
        shortcut = block.shortcut or make_shortcut("residual", "A", *channels(block), 2, pad)
        x = net.stages[1][1](shortcut(net.stages[0](net.stem(images).relu())).relu())
        expected = net.head(net.stages[2](x).mean((2, 3)))
        for whole in (net, folded(net)):
            assert torch.allclose(without(whole, ["stages.1.0"], pad)(images), expected, atol=1e-5)


def channels(block):
    return block.layers[0].conv.in_channels, block.layers[-1].conv.out_channels


def test_draws_are_without_replacement_and_the_same_for_both_kinds():
    drawn = list(random_removals(27, 3))
    assert [number for number, _ in drawn] == [1, 2, 3, 4, 6, 8, 12, 16, 24]
    assert [number for number, _ in random_removals(3, 1)] == [1, 2]
    for number, draws in drawn:
        assert all(len(set(draw)) == number and max(draw) < 27 for draw in draws)
    assert drawn == list(random_removals(27, 3))
    assert all(len({tuple(draw) for draw in draws}) > 1 for _, draws in drawn)
    assert [number for number, _ in random_removals(9, 1)] == [1, 2, 3, 4, 6, 8]


@pytest.mark.parametrize("kind", KINDS)
def test_paths_are_errors_of_networks_without_blocks(study, kind):
    run = subject(study, f"{kind}-14-s0")
    found = paths(run, 20, 2)
    batches = list(clean_batches(run.data.test, run.data.mean))
    net = folded(run.net)
    assert found.baseline == evaluate(net, batches)[0]
    assert [each.name for each in found.blocks] == block_names(run.net)
    for each in found.blocks:
        assert each.error == evaluate(without(net, [each.name]), batches)[0]
    number, draws = next(random_removals(6, 2))
    assert found.removals[0].number == number
    names = block_names(run.net)
    assert found.removals[0].errors == tuple(evaluate(without(net, [names[i] for i in draw]), batches)[0] for draw in draws)
    assert found == paths(run, 20, 2)


def test_directions_have_the_norms_of_the_filters_and_are_shared_by_a_pair():
    plain, _ = trained_network("plain")
    residual, _ = trained_network("residual")
    left, right = direction(plain, 0, 0), direction(residual, 0, 0)
    assert len(left) == 8  # seven convolutions and the head
    for name, drawn in left.items():
        weight = plain.get_parameter(name)
        assert torch.allclose(drawn.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1), rtol=1e-5)
        cosine = torch.nn.functional.cosine_similarity(drawn.flatten(1), right[name].flatten(1))
        assert torch.allclose(cosine, torch.ones_like(cosine), atol=1e-5)
    assert not torch.allclose(left["stem.conv.weight"], direction(plain, 1, 0)["stem.conv.weight"])
    assert not torch.allclose(left["stem.conv.weight"], direction(plain, 0, 1)["stem.conv.weight"])
    moved = displaced(plain, [left], (0.5,))
    changed = {name for name, value in moved.state_dict().items() if not torch.equal(value, plain.state_dict()[name])}
    assert changed == set(left)
    assert torch.allclose(moved.stem.conv.weight, plain.stem.conv.weight + 0.5 * left["stem.conv.weight"])


@pytest.mark.parametrize("bn", ["moving", "batch"])
def test_the_middle_of_a_slice_is_the_network(study, bn):
    run = subject(study)
    found = result_of(landscape(run, Slice(dims=2, points=3, images=30, bn=bn)))
    assert isinstance(found, Landscape)
    assert found.coordinates == (-1.0, 0.0, 1.0)
    images = subset(run.data.train, 30, "train")
    net = folded(run.net) if bn == "moving" else module.with_batch_statistics(run.net)
    error, loss = evaluate(net, clean_batches(images, run.data.mean, None if bn == "moving" else 250))
    assert (found.losses[1][1], found.errors[1][1]) == (loss, error)
    axes = [direction(run.net, 0, axis) for axis in (0, 1)]
    corner = displaced(run.net, axes, (1.0, -1.0))  # first row, last column
    net = folded(corner) if bn == "moving" else module.with_batch_statistics(corner)
    assert found.losses[0][2] == evaluate(net, clean_batches(images, run.data.mean, None if bn == "moving" else 250))[1]


def test_with_batch_statistics_the_scale_of_a_filter_does_not_matter(study):
    run = subject(study)
    images = random_batch(50)[0]
    net = module.with_batch_statistics(run.net)
    with torch.no_grad():
        expected = net.eval()(images)
        for name in direction(run.net, 0, 0):
            if "head" not in name:
                net.get_parameter(name).mul_(3)
        assert torch.allclose(net(images), expected, atol=1e-3)


def test_a_stopped_slice_goes_on_to_the_same_result(study, monkeypatch):
    run = subject(study)
    whole = result_of(landscape(run, SMALL))
    calls = []
    measure = module._measure
    monkeypatch.setattr(module, "_measure", lambda *arguments: calls.append(1) or measure(*arguments))
    parted = landscape(run, SMALL)
    assert [next(parted) for _ in range(4)][-1] == (4, 9)
    parted.close()
    aside = next(run.folder.analysis.glob("*.part.jsonl"))
    aside.write_text(aside.read_text() + "[4, 2.0, 0.")  # torn
    assert result_of(landscape(run, SMALL)) == whole
    assert len(calls) == 9
    assert not list(run.folder.analysis.glob("*.part.jsonl"))
    next(landscape(run, SMALL))
    next(landscape(run, Slice(points=3, images=30, seed=1)))
    assert len(list(run.folder.analysis.glob("*.part.jsonl"))) == 2  # other settings have a file of their own


def test_a_loss_that_is_not_finite_is_none(study):
    run = subject(study)
    found = result_of(landscape(run, Slice(dims=1, points=3, images=10, reach=1e30)))
    assert (found.losses[0][0], found.losses[0][2]) == (None, None)
    assert found.losses[0][1] is not None
    assert Landscape.model_validate_json(found.model_dump_json()) == found


def test_a_line_ends_in_its_two_networks(study):
    run = subject(study)
    other = build(run.config.model, 5)
    found = result_of(line(run, other, "other", 7, points=7, images=20, bn="moving"))
    assert isinstance(found, Line)
    assert found.positions == (-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    train, test = subset(run.data.train, 20, "train"), subset(run.data.test, 20, "test")
    for place, net in ((1, run.net), (5, other)):
        error, loss = evaluate(folded(net), clean_batches(train, run.data.mean))
        assert found.train_losses[place] == pytest.approx(loss, rel=1e-5)
        assert found.train_errors[place] == error
        assert found.test_errors[place] == evaluate(folded(net), clean_batches(test, run.data.mean))[0]
    half = interpolated(run.net, other.state_dict(), 0.5)
    assert torch.allclose(half.stem.conv.weight, (run.net.stem.conv.weight + other.stem.conv.weight) / 2)
    deep = build(ModelConfig(kind="residual", depth=14, width=4), 0)
    with pytest.raises(ConfigError, match="There is no straight line from residual-8-s0 to deep"):
        next(line(run, deep, "deep", 0, points=3, images=20, bn="batch"))


@pytest.mark.parametrize("loss", [None, 1e12, 2.3])
def test_figures_are_readable_whatever_losses_there_are(loss):
    rows = (0.5, 1.0, 3.0), (1.0, 0.4, 12.0), (loss, loss, loss)
    common = {"step": 1, "bn": "moving", "seed": 0, "images": 1, "coordinates": (-1.0, 0.0, 1.0)}
    plane = Landscape(**common, dims=2, losses=rows, errors=((0.5,) * 3,) * 3)
    text = svg(surfaces.contours({"plain-8-s0": plane}))
    assert all(f">{level}</text>" in text for level in (1, 2, 5, 10))
    assert [tick.get_text() for tick in surfaces.surfaces({"plain-8-s0": plane}).axes[0].get_zticklabels()][:2] == [
        "0.5",
        "1",
    ]
    svg(surfaces.contours({"plain-8-s0": plane.model_copy(update={"losses": ((loss,) * 3,) * 3})}))
    row = Landscape(**common, dims=1, losses=((loss, 0.4, 1.0),), errors=((0.5,) * 3,))
    colours = {("plain", 8): "0.2"}
    assert surfaces.slices({"plain-8-s0": (("plain", 8), row)}, colours).axes[0].get_ylim()[1] <= 100
    between = Line(
        step=1, other="b", other_step=1, bn="moving", train_images=1, test_images=1, positions=(0.0, 0.5, 1.0),
        train_losses=(0.4, loss, 1.0), train_errors=(0.5,) * 3, test_losses=(0.4, loss, 1.0), test_errors=(0.5,) * 3,
    )  # fmt: skip
    assert surfaces.lines({"a to b": (("plain", 8), between)}, colours).axes[0].get_ylim()[1] < 24


def test_a_slice_without_any_finite_loss_has_a_row(study):
    row = Landscape(
        step=8, dims=1, bn="moving", seed=0, images=1, coordinates=(-1.0, 0.0, 1.0), losses=((None,) * 3,), errors=((0.9,) * 3,)
    )
    found = Finding(RunFolder(study / "plain-8-s0").read(), row)
    assert table([found]).rows[0][-3:] == ("-", "-", "-")


def test_variances_beyond_the_ends_of_a_line_are_not_below_zero():
    left, right = (build(ModelConfig(kind="plain", depth=8, width=2), seed) for seed in (0, 1))
    for buffer in right.buffers():
        buffer.fill_(9)
    beyond, between = (interpolated(left, right.state_dict(), place).state_dict() for place in (-0.25, 0.25))
    assert beyond["stem.norm.running_var"].tolist() == [0, 0]  # and not 1.25 - 0.25 * 9
    assert beyond["stem.norm.running_mean"].tolist() == [-2.25, -2.25]
    assert between["stem.norm.running_var"].tolist() == [3, 3]


def test_points_of_another_network_with_the_same_name_are_not_taken(study):
    run = subject(study)
    first, second = build(run.config.model, 5), build(run.config.model, 6)
    parted = line(run, first, "other", 7, points=7, images=20, bn="batch")
    next(parted)
    parted.close()
    interrupted = result_of(line(run, second, "other", 7, points=7, images=20, bn="batch"))
    for path in run.folder.analysis.glob("line-*.part.jsonl"):
        path.unlink()
    assert interrupted == result_of(line(run, second, "other", 7, points=7, images=20, bn="batch"))
    moving = interrupted.model_copy(update={"bn": "moving"})
    assert moving.file_name != interrupted.file_name


def test_the_line_from_a_construction_begins_with_the_shallow_function(study):
    run = subject(study, "plain-8-s0")
    deep = construct(run.net, run.config, 14)
    assert evaluate(
        folded(interpolated(deep, build(run.config.model.model_copy(update={"depth": 14}), 1).state_dict(), 0.0)),
        [random_batch()],
    ) == pytest.approx(evaluate(folded(run.net), [random_batch()]))


def test_the_fast_slice_is_centred():
    assert FAST.coordinates[4] == 0
    assert FAST.coordinates[0] == -FAST.coordinates[-1] == -1


def test_surgery_at_the_command_line_and_in_the_report(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1, "--fast")
    assert "half removed" in cli("analyze", "paths", "s", *common).out
    answer = cli("analyze", "landscape", "s", "--points", 3, "--images", 10, *common)
    assert answer.code == 0, answer.err
    assert "9 points, about" in answer.err
    assert "9 of 9 points" in answer.err
    assert cli("analyze", "landscape", "s", "--points", 3, "--dims", 1, "--bn", "batch", *common, "--json").code == 0
    answer = cli("analyze", "line", "s/plain-8-s0", "s/plain-14-s0", *common, "--json")
    built = json.loads(answer.out)["results"][0]
    assert built["other"] == "plain-14-s0"
    run = subject(study, "plain-8-s0")
    images = subset(run.data.train, 200, "train")
    loss = evaluate(module.with_batch_statistics(run.net), clean_batches(images, run.data.mean, 250))[1]
    assert built["train_losses"][1] == pytest.approx(loss, rel=0.02)  # batch statistics, and the same function
    for stem in ("paths", "landscape-2d-moving", "landscape-2d-moving-surface", "landscape-1d-batch", "lines"):
        assert (study / f"{stem}.png").stat().st_size > 10_000
    page = write_report(compare_study(study))[0].read_text()
    assert "<image" not in page
    for words in ("Blocks removed", "The loss surface", "Straight lines between networks"):
        assert f"<h3>{words}</h3>" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["s/plain-8-s0", "s/residual-8-s0"], "choose two runs of the same kind"),
        (["s/plain-14-s0", "s/plain-8-s0"], "have different shapes"),
        (["s", "s/plain-8-s0"], "name two runs, not studies"),
        (["s/plain-8-s0", "s/plain-8-s0"], "name two runs, not studies"),
    ],
)
def test_lines_that_there_are_not(study, cli, arguments, sentence):
    answer = cli("analyze", "line", *arguments, "--runs", study.parent, "--device", "cpu")
    assert answer.code == 2
    assert sentence in answer.err
