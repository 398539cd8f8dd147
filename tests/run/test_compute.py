"""How the arithmetic of a process is set up."""

import pytest
import torch

from resnet_lab.config.compute import ComputeConfig
from resnet_lab.errors import ConfigError
from resnet_lab.run.compute import set_up
from tests.builders import tiny

CPU = torch.device("cpu")


def test_cuda_graphs_need_compiled_blocks_and_a_gpu():
    with pytest.raises(ValueError, match=r"compute\.compile = true"):
        tiny(compute__cuda_graphs=True)
    graphs = tiny(compute__cuda_graphs=True, compute__compile=True)
    with pytest.raises(ConfigError, match="CUDA device"):
        set_up(graphs.compute, CPU, None)


def test_the_deterministic_setting_enables_deterministic_algorithms_in_torch():
    try:
        set_up(ComputeConfig(deterministic=True), CPU, None)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        set_up(ComputeConfig(), CPU, None)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.allow_tf32
