"""Autocorrelation of the input gradient, compared with an independent computation."""

import copy
import json

import pytest
import torch

from resnet_lab.analysis.correlation import autocorrelation, correlation, input_gradients, line, with_measured_statistics
from resnet_lab.analysis.subject import subjects, subset
from resnet_lab.data.batches import Batches
from resnet_lab.data.images import normalise
from resnet_lab.record.store import RunFolder
from resnet_lab.report.write import write_report
from resnet_lab.study.compare import compare_study
from tests.builders import CPU, KINDS, copied_state, random_batch, same_tensors, tiny


@pytest.mark.parametrize("kind", KINDS)
def test_result_equals_an_independent_computation(study, kind):
    subject = next(subjects([RunFolder(study / f"{kind}-8-s0")], 0, CPU))
    before = copied_state(subject.net)
    result = correlation(subject, 2)
    assert same_tensors(before, copied_state(subject.net))
    assert (result.step, result.lines, result.points, len(result.correlations)) == (0, 2, 33, 16)

    net = copy.deepcopy(subject.net).train()
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    batches = Batches(subject.data.train, subject.data.mean, subject.config.recipe.batch_size, subject.config.seed)
    sums = [0.0] * len(norms)
    for norm in norms:
        norm.momentum = 1.0  # the statistics of the last batch
    for step in range(4):
        net(batches(step)[0])
        sums = [total + torch.stack([norm.running_mean, norm.running_var]) / 4 for total, norm in zip(sums, norms, strict=True)]
    for norm, (mean, variance) in zip(norms, sums, strict=True):
        norm.running_mean, norm.running_var = mean, variance
    net.eval()
    ends = normalise(subset(subject.data.train, 4, "correlation").images, subject.data.mean)
    cosines = []
    for start, end in ((ends[0], ends[1]), (ends[2], ends[3])):
        points = [((1 - at / 32) * start + at / 32 * end).requires_grad_() for at in range(33)]
        gradients = [torch.autograd.grad(net(point[None])[0, 0], point)[0].double().flatten() for point in points]
        cosines.append([[torch.dot(a, b) / (a.norm() * b.norm()) for b in gradients] for a in gradients])
    for lag in (1, 2, 16):
        expected = torch.tensor([[matrix[at][at + lag] for at in range(33 - lag)] for matrix in cosines]).mean().item()
        assert result.correlations[lag - 1] == pytest.approx(expected, abs=1e-4)


def test_linear_network_has_equal_gradients_and_white_noise_has_none_alike():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    images, _ = random_batch(2)
    gradients = input_gradients(net, line(*images))
    assert torch.allclose(gradients, net[1].weight[0].expand_as(gradients))
    assert autocorrelation(gradients) == [pytest.approx(1.0, abs=1e-5)] * 16
    noise = torch.randn(33, 3072, generator=torch.Generator().manual_seed(0))
    assert max(map(abs, autocorrelation(noise))) < 0.02
    assert autocorrelation(torch.zeros(33, 4)) == [0.0] * 16


def test_line_leads_from_one_image_to_the_other_in_equal_steps():
    images, _ = random_batch(2)
    points = line(*images)
    assert torch.equal(points[0], images[0])
    assert torch.allclose(points[-1], images[1], atol=1e-6)
    assert torch.allclose(points[1:] - points[:-1], ((images[1] - images[0]) / 32).expand(32, -1, -1, -1), atol=1e-5)


def test_statistics_are_means_over_batches_and_the_network_is_left_alone():
    net = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    batches = [random_batch(seed=seed)[0] + seed for seed in (1, 2)]
    measured = with_measured_statistics(net, batches)
    assert torch.allclose(measured[0].running_mean, torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0), atol=1e-5)
    assert not measured.training
    assert torch.equal(net[0].running_mean, torch.zeros(3))


def test_command_analyses_the_initial_network_unless_a_step_is_named(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1, "--fast", "--json")
    for options, step in (((), 0), (("--at", 4), 4)):
        answer = cli("analyze", "correlation", "s", *options, *common)
        assert answer.code == 0, answer.err
        assert {result["step"] for result in json.loads(answer.out)["results"]} == {step}
    assert (study / "correlation.png").stat().st_size > 10_000
    assert ">Correlation of gradients</a></h3>" in write_report(compare_study(study))[0].read_text()


def test_gradients_that_overflow_are_refused_in_a_sentence(study, cli, monkeypatch):
    nan = lambda net, images: torch.full((33, 4), float("nan"))  # noqa: E731
    monkeypatch.setattr("resnet_lab.analysis.correlation.input_gradients", nan)
    answer = cli("analyze", "correlation", "s/plain-8-s0", "--runs", study.parent, "--device", "cpu")
    assert answer.code == 2
    assert "The input gradients of plain-8-s0 at step 0 are not finite" in answer.err


def test_a_network_whose_output_starts_at_zero_is_left_out(study, cli):
    fixup = {"model": {"kind": "residual", "depth": 8, "width": 4, "norm": "none"}, "varied": ["model.norm"]}
    folder = RunFolder(study / "residual-8-norm=none-s0")
    folder.create(tiny(**fixup))
    answer = cli("analyze", "correlation", folder.path, "--fast")
    assert answer.code == 2
    assert "does not depend on the input" in answer.err
    answer = cli("analyze", "correlation", folder.path, study / "plain-8-s0", "--fast", "--json")
    assert answer.code == 0
    assert "does not depend on the input" in answer.err
    assert len(json.loads(answer.out)["results"]) == 1
