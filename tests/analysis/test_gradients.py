"""Gradient norms: compared with autograd, and summarised over batches."""

import copy
import statistics

import pytest
import torch
from torch.nn import functional

from resnet_lab.analysis.catalogue.gradients import deep_to_shallow
from resnet_lab.analysis.gradients import gradient_norms, gradients
from resnet_lab.analysis.subject import subjects
from resnet_lab.data.batches import Batches
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from tests.builders import CPU, KINDS, copied_state, random_batch, same_tensors, trained_network


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_norms_equal_those_of_autograd(kind):
    net, _ = trained_network(kind)
    before = copied_state(net)
    batches = [random_batch(seed=3), random_batch(seed=4)]
    weights, blocks = gradient_norms(net, batches)
    assert same_tensors(before, copied_state(net))
    assert next(iter(weights)) == "stem.conv"
    assert list(blocks) == ["stages.0.0", "stages.1.0", "stages.2.0"]
    for index, (images, labels) in enumerate(batches):
        copied_net = copy.deepcopy(net).train()
        x = copied_net.stem(images).relu()
        outputs = [x := stage(x) for stage in copied_net.stages]
        loss = functional.cross_entropy(copied_net.head(x.mean((2, 3))), labels)
        expected = torch.autograd.grad(loss, [*outputs, copied_net.stem.conv.weight, copied_net.stages[2][0].conv2.conv.weight])
        for output, name in zip(expected, blocks, strict=False):
            assert blocks[name][index] == pytest.approx(output.norm().item(), rel=1e-5)
        assert weights["stem.conv"][index] == pytest.approx(expected[3].norm().item(), rel=1e-5)
        assert weights["stages.2.0.conv2.conv"][index] == pytest.approx(expected[4].norm().item(), rel=1e-5)


def test_gradient_norms_of_a_bottleneck_network_include_projections():
    net, _ = trained_network("residual", depth=11, block="bottleneck", shortcut="C")
    weights, blocks = gradient_norms(net, [random_batch()])
    assert (len(blocks), len(weights)) == (3, 13)
    assert sum("shortcut" in name for name in weights) == 3


def test_deep_and_shallow_layers_are_compared_at_the_same_place_in_a_stage():
    shallow = {"stem.conv": 1.0, "stages.0.0.conv1.conv": 2.0, "stages.0.0.conv2.conv": 4.0}
    deep = {"stem.conv": 3.0} | {f"stages.0.{block}.conv{part}.conv": 2.0 * block + part for block in range(3) for part in (1, 2)}
    assert deep_to_shallow(deep, shallow) == [3.0, 3 / 2, 4 / 4]  # the layers of the second of three blocks


def test_projections_are_compared_with_projections_or_left_out():
    shallow = {"stages.1.0.conv1.conv": 2.0, "stages.1.0.shortcut.conv": 4.0}
    deep = {f"stages.1.{block}.{layer}.conv": 6.0 for block in range(3) for layer in ("conv1", "shortcut")}
    assert deep_to_shallow(deep, shallow) == [3.0, 1.5]
    del deep["stages.1.1.shortcut.conv"]  # option B: only the first block has one
    assert deep_to_shallow(deep, shallow) == [3.0]


def test_gradients_that_are_not_finite_are_refused(study):
    subject = next(subjects([RunFolder(study / "plain-8-s0")], 0, CPU))
    subject.net.head.weight.data.fill_(float("inf"))
    with pytest.raises(ConfigError, match="The gradients of plain-8-s0 at step 0 are not finite"):
        gradients(subject, 1)


def test_result_is_mean_and_deviation_over_batches(study):
    subject = next(subjects([RunFolder(study / "plain-8-s0")], 0, CPU))
    two_batches, one_batch = gradients(subject, 2), gradients(subject, 1)
    batches = Batches(subject.data.train, subject.data.mean, subject.config.recipe.batch_size, subject.config.seed)
    weights, _ = gradient_norms(subject.net, [batches(step) for step in range(2)])
    stem = weights["stem.conv"]
    assert two_batches.weights[0].norm == pytest.approx(statistics.fmean(stem))
    assert two_batches.weights[0].deviation == pytest.approx(statistics.stdev(stem))
    assert one_batch.weights[0].deviation is None
