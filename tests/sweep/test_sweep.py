"""`resnet-lab sweep` as a user runs it: a process for each run, failed runs, signals, and dry runs."""

import json
import signal
import subprocess
import sys
import time

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.store import RunFolder
from tests.builders import tiny, write_config


def test_second_sweep_skips_the_runs_that_are_finished(cli, tmp_path):
    config = write_config(tmp_path / "two.toml")
    first = cli("sweep", config, "--json")
    assert first.code == 0, first.err
    assert [run["state"] for run in json.loads(first.out)["runs"]] == ["finished", "finished"]
    folders = [RunFolder(tmp_path / "runs" / "two" / name) for name in ("plain-8-s0", "residual-8-s0")]
    before = [(folder.path / "events.jsonl").read_bytes() for folder in folders]
    assert folders[0].read().environment["threads"] >= 1
    assert "\n30 steps.\n" in folders[0].log_file.read_text()  # no time: the sweep has measured the speed and shown it already
    again = cli("sweep", config)
    assert again.code == 0
    assert "0 of 2 runs left" in again.err
    assert before == [(folder.path / "events.jsonl").read_bytes() for folder in folders]


def test_finished_sweep_needs_neither_data_nor_a_speed_measurement(cli, tmp_path):
    config = write_config(tmp_path / "real.toml", data={"dataset": "cifar10"}, evaluation={"every": 10})
    for kind in ("plain", "residual"):
        folder = RunFolder(tmp_path / "runs" / "real" / f"{kind}-8-s0")
        folder.create(load_study(str(config)).run(kind=kind, depth=8))
        folder.append_event("finished", 30)
    answer = cli("sweep", config)
    assert answer.code == 0
    assert "0 of 2 runs left" in answer.err
    assert "about 0 s" in answer.err


def test_failed_run_does_not_stop_the_others_and_is_repeated_next_time(cli, tmp_path):
    config = write_config(tmp_path / "two.toml")
    bad = RunFolder(tmp_path / "runs" / "two" / "plain-8-s0")
    bad.checkpoints.mkdir(parents=True)
    (bad.checkpoints / "step-00000010.pt").write_bytes(b"torn")
    answer = cli("sweep", config)
    assert answer.code == 5
    assert "1 of 2 runs did not finish: plain-8-s0 (failed)" in answer.err
    assert RunFolder(tmp_path / "runs" / "two" / "residual-8-s0").read().state == "finished"
    assert "No checkpoint" in bad.log_file.read_text()
    (bad.checkpoints / "step-00000010.pt").unlink()
    assert cli("sweep", config).code == 0
    assert bad.read().state == "finished"


def test_dry_run_shows_the_plan_and_writes_nothing(cli, tmp_path):
    config = write_config(tmp_path / "two.toml")
    answer = cli("sweep", config, "--dry-run", "--json", "--jobs", 2)
    assert answer.code == 0
    plan = json.loads(answer.out)
    assert {run["run"] for run in plan["runs"]} == {"plain-8-s0", "residual-8-s0"}
    assert all(run["seconds"] > 0 and run["parameters"] == 5006 for run in plan["runs"])
    assert not (tmp_path / "runs").exists()
    assert "2 of 2 runs left, 2 at once" in cli("sweep", config, "--dry-run", "--jobs", 2).err


def test_dry_run_needs_no_data_but_a_sweep_does(cli, tmp_path):
    changes = {"data": {"dataset": "cifar10"}, "evaluation": {"every": 10}}
    config = write_config(tmp_path / "real.toml", **changes)
    assert cli("sweep", config, "--dry-run").code == 0
    answer = cli("sweep", config)
    assert answer.code == 3
    assert "CIFAR-10 is not in data" in answer.err
    assert not (tmp_path / "runs").exists()


def test_sweep_over_a_run_of_another_config_starts_nothing(cli, tmp_path):
    config = write_config(tmp_path / "two.toml")
    RunFolder(tmp_path / "runs" / "two" / "residual-8-s0").create(tiny(recipe__lr=0.2))
    answer = cli("sweep", config)
    assert answer.code == 2
    assert "recipe.lr is 0.2, not 0.05" in answer.err
    assert not (tmp_path / "runs" / "two" / "plain-8-s0").exists()


@pytest.fixture
def command():
    """Start the command line as a process that is terminated after the test in any case."""
    processes = []

    def start(*arguments: object) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-m", "resnet_lab", *map(str, arguments)]
        processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=120)


def wait_for(condition, process, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_run_stopped_by_a_signal_saves_and_resumes_at_that_step(number, code, tmp_path, command):
    folder = RunFolder(tmp_path / "run")
    folder.create(tiny(recipe__steps=100_000, recipe__schedule={"name": "milestones"}, evaluation__every=100_000))
    process = command("train", "--run", folder.path, "--threads", 1)
    wait_for(lambda: len(folder.read().train) > 2, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=180)
    assert process.returncode == code, err
    assert "run the same command to resume" in err
    assert "Traceback" not in err
    read = folder.read()
    assert read.state == "interrupted"
    stopped_at = read.events[-1].step
    assert (folder.checkpoints / f"step-{stopped_at:08d}.pt").is_file()
    again = command("train", "--run", folder.path, "--threads", 1)
    wait_for(lambda: folder.read().step > stopped_at, again)
    again.send_signal(number)
    _, err = again.communicate(timeout=180)
    assert f"Resuming from step {stopped_at:,}." in err


def test_interrupted_sweep_stops_its_runs_and_resumes_them(tmp_path, command):
    steps = {"recipe__steps": 100_000, "recipe__schedule": {"name": "milestones"}, "evaluation__every": 100_000}
    config = write_config(tmp_path / "long.toml", **steps)
    folders = [RunFolder(tmp_path / "runs" / "long" / name) for name in ("plain-8-s0", "residual-8-s0")]
    process = command("sweep", config, "--jobs", 2)
    wait_for(lambda: all(folder.exists() and folder.read().train for folder in folders), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert {folder.read().state for folder in folders} == {"interrupted"}
    assert not any(folder.is_locked() for folder in folders)
    stopped_at = [folder.read().step for folder in folders]
    again = command("sweep", config, "--jobs", 2)
    wait_for(lambda: all(folder.read().step > step for folder, step in zip(folders, stopped_at, strict=True)), again)
    again.send_signal(signal.SIGTERM)
    _, err = again.communicate(timeout=180)
    assert again.returncode == 143, err
    assert all([event.name for event in folder.events()].count("resumed") == 1 for folder in folders)


def test_diverged_runs_are_reported_and_not_started_again(cli, tmp_path):
    changes = {"recipe__lr": 1e30, "recipe__schedule": {"name": "milestones"}}
    config = write_config(tmp_path / "wild.toml", **changes)
    assert cli("sweep", config).code == 5
    again = cli("sweep", config)
    assert again.code == 5
    assert "0 of 2 runs left" in again.err
    assert "2 of 2 runs did not finish: plain-8-s0 (diverged), residual-8-s0 (diverged)" in again.err
