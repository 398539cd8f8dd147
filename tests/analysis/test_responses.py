"""Layer responses: compared with a direct computation; the trained network stays unchanged."""

import pytest
import torch

from resnet_lab.analysis.catalogue.responses import Responses
from resnet_lab.analysis.responses import Moments, layer_moments
from tests.builders import KINDS, copied_state, random_batch, same_tensors, trained_network


def test_streamed_moments_are_exact_even_far_from_zero():
    source = torch.Generator().manual_seed(0)
    parts = [1e4 + torch.randn(size, generator=source) for size in (1, 7, 100, 3000)]
    moments = Moments()
    for part in parts:
        moments.add(part)
    all_values = torch.cat(parts).double()
    assert moments.count == len(all_values)
    assert moments.mean == pytest.approx(all_values.mean().item(), rel=1e-14)
    assert moments.std == pytest.approx(all_values.std(correction=0).item(), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_layer_moments_equal_a_direct_computation(kind):
    net, _ = trained_network(kind)
    images = [random_batch(seed=1)[0], random_batch(5, seed=2)[0]]
    before = copied_state(net)
    layers = layer_moments(net, lambda net: [net(batch) for batch in images])
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
    assert list(layers)[:3] == list(expected)
    assert len(layers) == 7
    for name, values in expected.items():
        assert layers[name].std == pytest.approx(values.double().std(correction=0).item(), rel=1e-5)
        assert layers[name].mean == pytest.approx(values.double().mean().item(), rel=1e-4, abs=1e-6)


def test_responses_of_a_bottleneck_network_leave_projections_out():
    net, _ = trained_network("residual", depth=11, block="bottleneck", shortcut="C")
    layers = layer_moments(net, lambda model: model(random_batch()[0]))
    assert len(layers) == 10
    assert not any("shortcut" in name for name in layers)


def test_result_with_a_value_that_is_not_finite_is_refused(study):
    with pytest.raises(ValueError, match="finite"):
        Responses(step=0, images=1, layers=({"name": "stem", "mean": float("nan"), "std": 1.0},))
