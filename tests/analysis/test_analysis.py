"""Analyses of layers and the construction: against hand computation, deterministic, and the trained network left as it was."""

import copy
import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from resnet_lab.analysis.catalogue.gradients import deep_to_shallow
from resnet_lab.analysis.catalogue.responses import Responses
from resnet_lab.analysis.construction import (
    added_blocks,
    agreement,
    batch_noise,
    construct,
    ready_to_train,
    stage_statistics,
)
from resnet_lab.analysis.gradients import gradient_norms, gradients
from resnet_lab.analysis.identity import continuation, continuation_folder, identity, saved, starting_point, with_continuation
from resnet_lab.analysis.registry import analyses, findings, read
from resnet_lab.analysis.responses import Moments, layer_moments, responses
from resnet_lab.analysis.results import save
from resnet_lab.analysis.subject import subjects
from resnet_lab.config.schema import Milestones
from resnet_lab.errors import CheckpointError, ConfigError
from resnet_lab.models.resnet import build
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import find_runs, read_study
from resnet_lab.report.write import write_report
from resnet_lab.run import trained as trained_room
from resnet_lab.run.experiment import train_in
from resnet_lab.study.compare import compare_study
from tests.builders import CPU, KINDS, copied_state, random_batch, same_tensors, tiny, trained_network


def test_moments_in_one_pass_are_those_of_two_even_far_from_zero():
    source = torch.Generator().manual_seed(0)
    parts = [1e4 + torch.randn(size, generator=source) for size in (1, 7, 100, 3000)]
    moments = Moments()
    for part in parts:
        moments.add(part)
    whole = torch.cat(parts).double()
    assert moments.count == len(whole)
    assert moments.mean == pytest.approx(whole.mean().item(), rel=1e-14)
    assert moments.std == pytest.approx(whole.std(correction=0).item(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_responses_are_those_of_a_direct_computation(kind):
    net, _ = trained_network(kind)
    images = [random_batch(seed=1)[0], random_batch(5, seed=2)[0]]
    before = copied_state(net)
    found = layer_moments(net, lambda net: [net(each) for each in images])
    assert same_tensors(before, copied_state(net))
    assert net.training
    net.eval()
    x = torch.cat(images)
    with torch.no_grad():
        stem = net.stem(x)
        block = net.stages[0][0]
        first = block.conv1(stem.relu())
        second = block.conv2(first.relu())  # before the addition
    expected = {"stem": stem, "stages.0.0.conv1": first, "stages.0.0.conv2": second}
    assert list(found)[:3] == list(expected)
    assert len(found) == 7
    for name, values in expected.items():
        assert found[name].std == pytest.approx(values.double().std(correction=0).item(), rel=1e-5)
        assert found[name].mean == pytest.approx(values.double().mean().item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_norms_are_autograds(kind):
    net, _ = trained_network(kind)
    before = copied_state(net)
    batches = [random_batch(seed=3), random_batch(seed=4)]
    weights, blocks = gradient_norms(net, batches)
    assert same_tensors(before, copied_state(net))
    assert next(iter(weights)) == "stem.conv"
    assert list(blocks) == ["stages.0.0", "stages.1.0", "stages.2.0"]
    for index, (images, labels) in enumerate(batches):
        fresh = copy.deepcopy(net).train()
        x = fresh.stem(images).relu()
        outputs = [x := stage(x) for stage in fresh.stages]
        loss = functional.cross_entropy(fresh.head(x.mean((2, 3))), labels)
        wanted = torch.autograd.grad(loss, [*outputs, fresh.stem.conv.weight, fresh.stages[2][0].conv2.conv.weight])
        for output, name in zip(wanted, blocks, strict=False):
            assert blocks[name][index] == pytest.approx(output.norm().item(), rel=1e-5)
        assert weights["stem.conv"][index] == pytest.approx(wanted[3].norm().item(), rel=1e-5)
        assert weights["stages.2.0.conv2.conv"][index] == pytest.approx(wanted[4].norm().item(), rel=1e-5)


def test_layers_are_compared_at_the_same_place_of_their_stage():
    shallow = {"stem.conv": 1.0, "stages.0.0.conv1.conv": 2.0, "stages.0.0.conv2.conv": 4.0}
    deep = {"stem.conv": 3.0} | {f"stages.0.{block}.conv{part}.conv": 2.0 * block + part for block in range(3) for part in (1, 2)}
    assert deep_to_shallow(deep, shallow) == [3.0, 2 / 2, 5 / 4]  # the second and the fifth of six layers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [14, 26])
def test_the_construction_computes_the_same_function_exactly(kind, depth):
    net, config = trained_network(kind)
    deep = construct(net, config, depth)
    assert len(added_blocks(deep, net)) == (depth - 8) // 2
    found = agreement(net, deep, [random_batch(64, seed=5), random_batch(7, seed=6)])
    assert found.images == 71
    assert found.max_difference == 0
    assert found.changed == 0
    assert found.wrong_left == found.wrong_right
    scratch = build(deep_config := config.model.model_copy(update={"depth": depth}), 0)
    assert {name: value.shape for name, value in deep.state_dict().items()} == {
        name: value.shape for name, value in scratch.state_dict().items()
    }
    assert agreement(net, scratch, [random_batch(64)]).max_difference > 0.01, deep_config


@pytest.mark.parametrize(
    ("model", "depth"),
    [({"shortcut": "B"}, 14), ({"shortcut": "C"}, 14), ({"block": "bottleneck", "depth": 11, "shortcut": "C"}, 20)],
)
def test_the_construction_with_projections_and_bottlenecks(model, depth):
    net, config = trained_network("residual", **model)
    deep = construct(net, config, depth)
    assert agreement(net, deep, [random_batch(32, seed=5)]).max_difference == 0
    batches = [random_batch(32, seed=10 + index) for index in range(4)]
    noise = batch_noise(net, ready_to_train(deep, net, batches), batches)
    assert noise.rms_difference < 0.2 * noise.rms_logits


def test_a_plain_bottleneck_has_no_construction():
    net, config = trained_network("plain", depth=11, block="bottleneck")
    with pytest.raises(ConfigError, match="plain-bottleneck-11-s0: a plain bottleneck block cannot"):
        construct(net, config, 20)


def test_responses_and_gradients_of_projections_and_bottlenecks():
    net, _ = trained_network("residual", depth=11, block="bottleneck", shortcut="C")
    found = layer_moments(net, lambda each: each(random_batch()[0]))
    assert len(found) == 10
    assert not any("shortcut" in name for name in found)
    weights, blocks = gradient_norms(net, [random_batch()])
    assert (len(blocks), len(weights)) == (3, 13)


def test_the_construction_must_be_deeper():
    net, config = trained_network("plain")
    with pytest.raises(ConfigError, match="--depth 8 is not deeper than plain-8-s0"):
        construct(net, config, 8)


def test_a_constructed_plain_network_is_ready_to_train():
    net, config = trained_network("plain", steps=20)
    deep = construct(net, config, 20)
    batches = [random_batch(32, seed=10 + index) for index in range(8)]
    ready = ready_to_train(deep, net, batches)
    in_evaluation = agreement(net, ready, batches)
    assert in_evaluation.max_difference < 1e-4
    noise = batch_noise(net, ready, batches)
    naive = batch_noise(net, deep, batches)  # weight 1 and bias 0, where a batch's deviation is not 1
    assert noise.rms_difference < 0.1 * noise.rms_logits
    assert noise.rms_difference < 0.2 * naive.rms_difference
    assert noise.shallow_loss == pytest.approx(noise.constructed_loss, rel=0.02)
    assert not any(
        torch.equal(deep.state_dict()[name], value) for name, value in ready.state_dict().items() if "2.2.conv2.norm.b" in name
    )


def test_a_constructed_residual_network_is_the_shallow_one_in_training_mode_too():
    net, config = trained_network("residual", steps=20)
    deep = construct(net, config, 20)
    batches = [random_batch(32, seed=10)]
    ready = ready_to_train(deep, net, batches)
    assert same_tensors(copied_state(deep), copied_state(ready))
    assert batch_noise(net, ready, batches).max_difference == 0
    functional.cross_entropy(ready.train()(batches[0][0]), batches[0][1]).backward()
    for _, block in added_blocks(ready, net):  # its branch is zero and can learn
        assert block.conv2.norm.weight.grad.abs().max() > 0


def test_stage_statistics_are_those_of_all_batches():
    net, _ = trained_network("plain")
    batches = [random_batch(16, seed=1), random_batch(16, seed=2)]
    found = stage_statistics(net, batches)
    outputs = []
    for images, _ in batches:
        fresh = copy.deepcopy(net).train()
        outputs.append(fresh.stages[0](fresh.stem(images).relu()))
    whole = torch.cat(outputs).double()
    assert torch.allclose(found[0][0].double(), whole.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(found[0][1].double(), whole.var((0, 2, 3), correction=0), rtol=1e-5, atol=1e-7)


def names(study):
    return [RunFolder(study / f"{kind}-{depth}-s0") for kind in KINDS for depth in (8, 14)]


def test_checkpoints_are_never_replaced_by_random_weights(study):
    folder = RunFolder(study / "plain-8-s0")
    assert [subject.step for subject in subjects([folder], None, CPU)] == [8]
    assert [subject.step for subject in subjects([folder], 4, CPU)] == [4]
    initial = next(subjects([folder], 0, CPU))
    assert same_tensors(initial.net.state_dict(), build(initial.config.model, 0).state_dict())
    with pytest.raises(CheckpointError, match="no checkpoint at step 5; available steps: 4, 8"):
        subjects([folder], 5, CPU)
    fresh = RunFolder(study / "plain-14-s9")
    fresh.create(tiny(model__kind="plain", model__depth=14, seed=9))
    with pytest.raises(CheckpointError, match=r"has no checkpoint yet: .* use --at 0 for its initial network"):
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


def test_results_repeat_and_are_read_back(study):
    subject = next(subjects([RunFolder(study / "residual-8-s0")], None, CPU))
    before = copied_state(subject.net)
    for analyse in (lambda: responses(subject, 10), lambda: gradients(subject, 2), lambda: identity(subject, 14, None, 10)):
        result = analyse()
        assert result == analyse()
        save(subject.folder, result)
        assert result in read(subject.folder)[0]
    assert same_tensors(before, copied_state(subject.net))
    assert [each.analysis for each in read(subject.folder)[0]] == ["gradients", "identity", "responses"]


def test_gradients_summarise_batches(study):
    subject = next(subjects([RunFolder(study / "plain-8-s0")], 0, CPU))
    two, one = gradients(subject, 2), gradients(subject, 1)
    weights, _ = gradient_norms(subject.net, [_batches(subject)(step) for step in range(2)])
    stem = weights["stem.conv"]
    assert two.weights[0].norm == pytest.approx(statistics.fmean(stem))
    assert two.weights[0].deviation == pytest.approx(statistics.stdev(stem))
    assert one.weights[0].deviation is None


def _batches(subject):
    from resnet_lab.data.batches import Batches

    return Batches(subject.data.train, subject.data.mean, subject.config.recipe.batch_size, subject.config.seed)


@pytest.mark.parametrize("kind", KINDS)
def test_identity_says_what_the_construction_and_scratch_do(study, kind):
    shallow, deep = subjects([RunFolder(study / f"{kind}-8-s0"), RunFolder(study / f"{kind}-14-s0")], None, CPU)
    found = identity(shallow, 14, deep)
    assert (found.train_images, found.test_images, found.max_difference, found.changed_predictions) == (80, 20, 0, 0)
    last = shallow.folder.read().evaluations[-1]
    assert found.shallow.train == found.constructed.train == pytest.approx(last.train_error)
    assert found.constructed.test == pytest.approx(last.test_error)
    assert found.scratch is not None
    assert found.scratch.train == pytest.approx(deep.folder.read().evaluations[-1].train_error)


def go_on(shallow, stop):
    folder = continuation_folder(shallow, 14, 6)
    start = starting_point(shallow, 14)
    list(train_in(folder, continuation(shallow.config, 14, 6), shallow.data, shallow.device, 1, stop, start))


def test_training_goes_on_from_the_construction_and_resumes(study, monkeypatch):
    shallow = next(subjects([RunFolder(study / "plain-8-s0")], None, CPU))
    result = identity(shallow, 14, None, 10)
    stops = iter([False, False, True])
    go_on(shallow, lambda: next(stops, True))
    folder = continuation_folder(shallow, 14, 6)
    assert folder.read().state == "interrupted"
    go_on(shallow, lambda: False)
    parted = checkpoint.load(folder, 6)["net"]
    assert folder.read().state == "finished"
    folder.path.rename(study / "elsewhere")
    go_on(shallow, lambda: False)
    assert same_tensors(parted, checkpoint.load(folder, 6)["net"])
    continued = with_continuation(result, folder).continued
    assert continued is not None
    assert (continued.steps, continued.step) == (6, 6)
    assert [point.step for point in continued.curve] == [1, 2, 3, 4, 5, 6]


def test_a_construction_that_is_known_is_not_computed_again(study):
    shallow = next(subjects([RunFolder(study / "plain-8-s0")], None, CPU))
    result = identity(shallow, 14, None, 10)
    assert saved(shallow, 14, None, 10) is None
    save(shallow.folder, result)
    assert saved(shallow, 14, None, 10) == result
    assert saved(shallow, 14, None, None) is saved(shallow, 20, None, 10) is None
    assert saved(shallow, 14, next(subjects([RunFolder(study / "plain-14-s0")], None, CPU)), 10) is None


def test_the_recipe_of_the_continuation_keeps_its_shape():
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


def test_runs_are_named_by_study_or_folder(study, tmp_path):
    every = {folder.path.name for folder in names(study)}
    assert {each.path.name for each in find_runs(study.parent, ["s"])} == every
    assert [each.path.name for each in find_runs(study.parent, ["s/plain-8-s0", str(study / "plain-8-s0")])] == ["plain-8-s0"]
    with pytest.raises(ConfigError, match="There is no study 'nothing'"):
        find_runs(study.parent, ["nothing"])


def test_analyze_prints_draws_and_fills_the_report(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1)
    answers = {name: cli("analyze", name, "s", *common, "--json") for name in ("responses", "gradients", "identity")}
    for name, answer in answers.items():
        assert answer.code == 0, answer.err
        results = json.loads(answer.out)["results"]
        assert {each["analysis"] for each in results} == {name}
        assert len(results) == (2 if name == "identity" else 4)
    assert cli("analyze", "gradients", "s/plain-8-s0", "--at", 0, *common).code == 0
    assert "construction" in cli("analyze", "identity", "s", "--continue-steps", 2, "--fast", *common).out
    for stem in ("responses", "gradients", "identity-8-to-14"):
        assert (study / f"{stem}.png").stat().st_size > 10_000
    (study / "plain-8-s0" / "analysis" / "junk.json").write_text('{"analysis": "responses", "step": -1}')
    page, text = write_report(compare_study(study))
    for words in ("Why", "The identity construction", "Layer responses", "Gradients", "A solution exists"):
        assert words in page.read_text()
    assert "plain-8-s0/analysis/junk.json is not a valid result of an analysis" in text.read_text().replace("\\", "")
    assert "trained on" in text.read_text()


def test_a_missing_checkpoint_ends_with_6_and_a_missing_depth_with_2(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1)
    answer = cli("analyze", "responses", "s", "--at", 5, *common)
    assert (answer.code, answer.out) == (6, "")
    assert "available steps: 4, 8" in answer.err
    answer = cli("analyze", "identity", "s/plain-8-s0", *common)
    assert answer.code == 2
    assert "or give --depth" in answer.err
    assert cli("analyze", "identity", "s/plain-8-s0", "--depth", 8, *common).code == 2
    answer = cli("analyze", "identity", "s/plain-8-s0", "--depth", 21, *common)
    assert answer.code == 2
    assert "nearest valid: 20 and 26" in answer.err
    assert cli("analyze", "identity", "s/plain-8-s0", "--depth", 20, "--fast", *common).code == 0


def test_without_analyses_the_report_has_no_why(study):
    assert findings(read_study(study).runs) == ([], [])
    assert ">Why<" not in write_report(compare_study(study))[0].read_text()


def test_every_analysis_is_registered_under_the_name_that_its_results_have():
    assert [analysis.name for analysis in analyses()] == ["identity", "responses", "gradients", "paths", "landscape", "line"]
    for analysis in analyses():
        assert analysis.result.model_fields["analysis"].default == analysis.name


@pytest.mark.parametrize("content", ['{"analysis": "unknown", "step": 0}', "[]", "{}", "\xff", '{"analysis": "responses"'])
def test_a_file_that_is_no_result_is_named_and_left_out(study, content):
    folder = RunFolder(study / "plain-8-s0")
    folder.make_analysis()
    (folder.analysis / "odd.json").write_text(content, encoding="latin-1")
    assert read(folder) == ([], ["plain-8-s0/analysis/odd.json is not a valid result of an analysis and is left out."])


def test_a_report_reads_every_result_once(study, monkeypatch):
    folder = RunFolder(study / "plain-8-s0")
    save(folder, gradients(next(subjects([folder], None, CPU)), 1))
    opened = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read_bytes(path))
    write_report(compare_study(study))
    assert opened.count("gradients-00000008.json") == 1


def test_a_result_that_is_not_finite_is_refused(study):
    with pytest.raises(ValueError, match="finite"):
        Responses(step=0, images=1, layers=({"name": "stem", "mean": float("nan"), "std": 1.0},))
