"""The measurement of this machine: parts add up, the limit is that of the arithmetic, and the command shows both."""

import itertools
import json
import threading

import pytest
import torch

from resnet_lab.run import bench as measuring
from resnet_lab.run.bench import Bench
from resnet_lab.run.estimate import PARTS, Speed, background_training, measure, measuring_seconds, sample
from tests.builders import tiny, write_config

CPU = torch.device("cpu")


def test_a_sample_has_the_parts_of_a_step_and_the_time_of_an_evaluated_image():
    taken = list(itertools.islice(sample(tiny(), CPU), 12))
    assert all(tuple(speed.parts) == PARTS for speed in taken)
    assert all(seconds > 0 for speed in taken for seconds in speed.parts.values())
    assert len({speed.eval_image_seconds for speed in taken}) == 3  # measured at the first, sixth and eleventh step


def test_a_deeper_network_is_expected_to_take_its_multiply_adds_and_the_same_time_for_data():
    speed = Speed({"data": 1.0, "forward": 2.0, "backward": 4.0, "optimizer": 0.5}, 0.1).scaled(3)
    assert speed.parts == {"data": 1.0, "forward": 6.0, "backward": 12.0, "optimizer": 1.5}
    assert (speed.step_seconds, speed.eval_image_seconds) == (20.5, pytest.approx(0.3))


def test_the_limit_is_the_multiply_adds_at_the_speed_of_a_matrix_product():
    speed = Speed({"data": 0.0, "forward": 0.5, "backward": 1.5, "optimizer": 0.0}, 0.01)
    found = Bench(tiny(), CPU, 1, 1_000_000, speed, 48e6, 5, None, None, None)
    assert found.images_per_second == 8.0  # 16 images in 2 seconds
    assert found.limit == 8.0  # 6 operations a multiply-add: forward, and twice as many backward
    # 30 steps of 2 s; 4 x (30 + 20 + 20) + (80 + 20 + 20) + 7 x 20 images at 0.01 s
    assert found.evaluation_share == pytest.approx(5.4 / 65.4)


def test_a_bench_measures_both_and_says_where_nothing_compiles(monkeypatch):
    monkeypatch.setattr(measuring, "compile_problem", lambda device: "no compiler")
    found = measuring.bench(tiny(compute__compile="auto"), CPU, 1, seconds=0.5)
    assert found.flops > 1e9
    assert found.num_steps > 1
    assert (found.compiled, found.fault) == (None, "no compiler")


def test_measuring_takes_the_time_it_is_said_to_take():
    speed = Speed({"data": 0.0, "forward": 0.5, "backward": 0.5, "optimizer": 0.0}, 0.001)
    assert (
        measuring_seconds(speed) == (1 + 3) * 1.0 + 2 * 500 * 0.001
    )  # one step unmeasured, three seconds' worth, two evaluations
    quick = Speed({"data": 0.0, "forward": 0.05, "backward": 0.05, "optimizer": 0.0}, 0.001)
    assert measuring_seconds(quick) == pytest.approx((1 + 5) * 0.1 + 1.0)


def test_background_training_lasts_as_long_as_the_measurement(monkeypatch):
    before = threading.active_count()
    with background_training(tiny(), CPU, 2):
        assert threading.active_count() == before + 2
        assert measure(tiny(), CPU).step_seconds > 0
    assert threading.active_count() == before
    with background_training(tiny(), CPU, 0):
        assert threading.active_count() == before


def test_the_command_prints_the_parts_the_limit_and_the_sweep(cli, tmp_path):
    config = write_config(tmp_path / "tiny.toml")
    answer = cli("bench", config, "--seconds", 1, "--no-compile")
    assert answer.code == 0, answer.err
    for words in ("forward", "of this machine's limit", "residual-8", "The sweep's 2 runs", "Evaluation:"):
        assert words in answer.out
    assert "ompiled" not in answer.out
    values = json.loads(cli("bench", config, "--seconds", 1, "--no-compile", "--plain", "--json").out)
    assert values["model"].items() >= {"kind": "plain", "depth": 8, "width": 4, "shortcut": "A"}.items()
    assert values["step_seconds"] == pytest.approx(sum(values["parts"].values()))
    assert values["images_per_second"] == pytest.approx(16 / values["step_seconds"])
    assert [run["run"] for run in values["runs"]] == ["plain-8-s0", "residual-8-s0"]
    assert not (tmp_path / "runs").exists()
