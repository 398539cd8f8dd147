"""Layer responses: against a direct computation, and the trained network left as it was."""

import pytest
import torch

from resnet_lab.analysis.catalogue.responses import Responses
from resnet_lab.analysis.gradients import gradient_norms
from resnet_lab.analysis.responses import Moments, layer_moments
from tests.builders import KINDS, copied_state, random_batch, same_tensors, trained_network


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


def test_responses_and_gradients_of_projections_and_bottlenecks():
    net, _ = trained_network("residual", depth=11, block="bottleneck", shortcut="C")
    found = layer_moments(net, lambda each: each(random_batch()[0]))
    assert len(found) == 10
    assert not any("shortcut" in name for name in found)
    weights, blocks = gradient_norms(net, [random_batch()])
    assert (len(blocks), len(weights)) == (3, 13)


def test_a_result_that_is_not_finite_is_refused(study):
    with pytest.raises(ValueError, match="finite"):
        Responses(step=0, images=1, layers=({"name": "stem", "mean": float("nan"), "std": 1.0},))
