"""A loss that is not finite never reaches the weights, ends the run with exit code 4, and leaves the rest of a sweep alone."""

import math

import pytest
import torch

from resnet_lab.errors import DivergedError
from resnet_lab.models.resnet import build
from resnet_lab.record.store import RunFolder
from resnet_lab.train.loop import train
from resnet_lab.train.state import new_state
from tests.builders import copied_state, random_batch, tiny
from tests.reliability.lasting import stateful
from tests.reliability.processes import exit_code, start
from tests.reliability.processes import train as train_in_process


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_update(value, figure):
    config = tiny()
    state = new_state(build(config.model, 0), config.recipe, 8)
    before = []

    def batch_at(step):
        images, labels = random_batch(seed=step)
        if step == 3:
            before.append(copied_state(state.net))
            images[0] = value
        return images, labels

    with pytest.raises(DivergedError, match="step 4"):
        list(train(state, batch_at, config.recipe, log_every=1, validate=lambda: (0.5, 1.0)))
    parameters = dict(state.net.named_parameters())
    assert all(torch.equal(parameters[name], before[0][name]) for name in parameters)
    assert not any(torch.isnan(value).any() for value in parameters.values())
    figure("7", f"{value} in a batch", "stopped before the update, exit code 4")


def test_a_wild_lr_ends_with_exit_code_4_and_says_what_to_change(tmp_path, figure):
    values = stateful(recipe__lr=1e6, recipe__warmup={"from_depth": 1000})
    log = tmp_path / "log"
    assert exit_code(start(train_in_process, str(tmp_path / "run"), values, str(log))) == DivergedError.exit_code
    assert "lr" in log.read_text()
    assert RunFolder(tmp_path / "run").read().state == "diverged"
    figure("7", "lr 1e6", "exit code 4, state diverged")


@pytest.mark.slow
def test_a_diverged_run_does_not_stop_a_sweep_and_the_report_shows_it(cli, tmp_path, figure):
    config = tmp_path / "wild.toml"
    config.write_text(
        """
        [model]
        width = 4
        [data]
        dataset = "synthetic"
        train_images = 100
        validation_images = 20
        test_images = 20
        [recipe]
        steps = 20
        batch_size = 16
        lr = 1e6
        schedule = { name = "milestones" }
        warmup = { from_depth = 14, lr = 0.001, until_error = 0.0001 }
        [compute]
        compile = false
        [sweep]
        depths = [8, 14]
        """
    )
    answer = cli("sweep", config)
    assert answer.code == 5, answer.err
    states = {path.name: RunFolder(path).read().state for path in (tmp_path / "runs" / "wild").iterdir() if path.is_dir()}
    assert states == {
        "plain-8-s0": "diverged", "residual-8-s0": "diverged", "plain-14-s0": "finished", "residual-14-s0": "finished"
    }  # fmt: skip
    assert cli("report", "wild").code == 0
    assert "diverged" in (tmp_path / "runs" / "wild" / "report" / "index.html").read_text()
    figure("7", "a sweep of 4 runs, 2 of which diverge", "the other 2 finish, exit code 5, the report shows the failures")
