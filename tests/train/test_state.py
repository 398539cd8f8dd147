"""The windows over which records average."""

import pytest
import torch

from resnet_lab.run.compute import initial_state
from resnet_lab.train.state import Window
from tests.builders import tiny


def test_open_windows_are_restored_from_a_checkpoint():
    config = tiny()
    states = [initial_state(config, torch.device("cpu")) for _ in range(2)]
    states[0].warmup.add(torch.tensor(2.0), torch.tensor(3), 16)
    states[0].log.add(torch.tensor(1.0), torch.tensor(1), 4)
    states[1].load_state_dict(states[0].state_dict())
    for window in ("warmup", "log"):
        assert getattr(states[1], window).read() == getattr(states[0], window).read()


def test_the_lr_of_the_last_update_is_restored_for_its_record():
    states = [initial_state(tiny(), torch.device("cpu")) for _ in range(2)]
    states[0].optimizer.param_groups[0]["lr"] = 0.001
    states[1].load_state_dict(states[0].state_dict())
    assert states[1].optimizer.param_groups[0]["lr"] == 0.001


def test_a_window_weights_each_batch_by_its_number_of_images():
    window = Window(torch.device("cpu"))
    window.add(torch.tensor(1.0), torch.tensor(16), 16)
    window.add(torch.tensor(6.0), torch.tensor(1), 4)
    assert window.read() == (17 / 20, pytest.approx((16 * 1 + 4 * 6) / 20))


def test_a_checkpoint_without_the_reported_step_has_reported_all_its_steps():
    state = initial_state(tiny(), torch.device("cpu"))
    saved = state.state_dict() | {"step": 7}
    del saved["reported_step"]
    state.load_state_dict(saved)
    assert (state.step, state.reported_step) == (7, 7)
