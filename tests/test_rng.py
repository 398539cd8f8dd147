"""Random generators as a function of seed, purpose and step."""

import torch

from resnet_lab.rng import generator


def test_generators_depend_only_on_seed_purpose_and_step():
    def drawn(*key):
        return torch.rand(4, generator=generator(*key)).tolist()

    assert drawn(0, "x", 1) == drawn(0, "x", 1)
    assert len({tuple(drawn(*key)) for key in [(0, "x", 0), (1, "x", 0), (0, "y", 0), (0, "x", 1)]}) == 4
