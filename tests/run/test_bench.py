"""The benchmark of this machine: the limit of its arithmetic, compilation, and what the command prints."""

import json

import pytest
import torch

from resnet_lab.run import bench
from resnet_lab.run.bench import Bench
from resnet_lab.run.estimate import Speed
from tests.builders import tiny, write_config

CPU = torch.device("cpu")


def test_the_limit_is_the_speed_of_a_matrix_product_per_image():
    speed = Speed({"data": 0.0, "forward": 0.5, "backward": 1.5, "optimizer": 0.0}, 0.01)
    measured = Bench(tiny(), CPU, 1, 1_000_000, speed, 48e6, 5, None, None, None)
    assert measured.images_per_second == 8.0  # 16 images in 2 seconds
    assert measured.limit == 8.0  # 6 operations per multiply-add: 2 in the forward pass and 4 in the backward pass
    # 30 steps of 2 s; 4 x (30 + 20 + 20) + (80 + 20 + 20) + 7 x 20 images at 0.01 s
    assert measured.evaluation_share == pytest.approx(5.4 / 65.4)


def test_bench_measures_eager_steps_and_reports_that_compilation_fails(monkeypatch):
    monkeypatch.setattr(bench, "compile_problem", lambda device: "no compiler")
    measured = bench.bench(tiny(compute__compile="auto"), CPU, 1, seconds=0.5)
    assert measured.flops > 0
    assert measured.num_steps > 1
    assert (measured.compiled, measured.fault) == (None, "no compiler")


def test_the_bench_command_prints_parts_limit_and_sweep_time(cli, tmp_path):
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
