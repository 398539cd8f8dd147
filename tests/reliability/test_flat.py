"""Memory and open files do not grow with steps, evaluations, looks at a growing study, or the runs of a sweep."""

import os
import signal
import time
from pathlib import Path

import pytest

from resnet_lab.config.schema import RunConfig
from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from tests.builders import CPU, settings, tiny, write_config
from tests.reliability.processes import command, exit_code, start
from tests.reliability.scale import SOAK, times

MEBIBYTE = 2**20


def resident_bytes(pid="self"):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid="self"):
    return len(os.listdir(f"/proc/{pid}/fd"))


pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


def test_memory_and_open_files_are_flat_over_steps_and_evaluations(tmp_path, figure):
    steps = times(150, 5000)
    values = settings(recipe__steps=steps, recipe__schedule={"name": "milestones"}, evaluation__every=steps // times(15, 500))
    samples = [
        (resident_bytes(), open_files())
        for update in run(
            RunConfig.model_validate(values), RunFolder(tmp_path / "run"), CPU, measure_speed=False, checkpoint_seconds=1.0
        )
        if isinstance(update, EvalRecord)
    ]
    settled = len(samples) // 3
    grown = max(memory for memory, _ in samples[-settled:]) - max(memory for memory, _ in samples[:settled])
    assert grown < 16 * MEBIBYTE
    assert {files for _, files in samples[1:-1]} == {samples[1][1]}
    figure(
        "15",
        f"{steps} steps with {len(samples)} evaluations",
        f"memory grew by {max(grown, 0) / MEBIBYTE:.1f} MiB from the first third to the last, open files by 0",
    )


@pytest.mark.parametrize("arguments", [("runs", "--watch"), ("report", "--watch")], ids=" ".join)
def test_memory_and_open_files_of_a_watch_are_flat_while_a_run_grows(arguments, tmp_path, figure):
    config = tiny(recipe__steps=1_000_000, recipe__schedule={"name": "milestones"})
    folder = RunFolder(tmp_path / "runs" / "s" / config.name)
    folder.create(config)
    seconds = times(3, 600)
    samples = []
    with folder.lock():
        folder.append_event("started", 0, parameters=1)
        watch = start(command, [arguments[0], "s", *arguments[1:]], tmp_path, "/dev/null")
        while arguments[0] == "report" and not (folder.path.parent / "report/index.html").exists():
            time.sleep(0.05)
            assert watch.is_alive()
        end = time.monotonic() + seconds
        step = 0
        while time.monotonic() < end:
            step += 5
            folder.append(TrainRecord(step, 0.5, 1.0, 0.1, 80, 0.05))
            if step % 500 == 0:
                folder.append(EvalRecord(step, 0.4, 1.0, 30, None, None, 0.5, 1.0, 0.1))
            time.sleep(0.02 if not SOAK else 0.2)
            assert watch.is_alive()
            samples.append((resident_bytes(watch.pid), open_files(watch.pid)))
        os.kill(watch.pid, signal.SIGINT)
    assert exit_code(watch) == 130
    settled = len(samples) // 3
    grown = max(memory for memory, _ in samples[-settled:]) - max(memory for memory, _ in samples[:settled])
    if SOAK:  # in seconds the first figure is still being drawn
        assert grown < 64 * MEBIBYTE
    leaked = max(files for _, files in samples[-settled:]) - max(files for _, files in samples[: 2 * settled])
    assert leaked <= 4, "more than the files of one look are open"
    figure(
        "15",
        f"{' '.join(arguments)} for {seconds} s while a run grows to {step:,} steps",
        f"memory grew by {max(grown, 0) / MEBIBYTE:.1f} MiB from the first third to the last, open files did not",
    )


@pytest.mark.skipif(not SOAK, reason="takes ten minutes: make soak")
def test_a_sweep_of_200_runs_finishes_them_all(cli, tmp_path, figure):
    config = write_config(tmp_path / "many.toml", recipe__steps=5, recipe__schedule={"name": "milestones"})
    answer = cli("sweep", config, "--set", f"sweep.seeds={list(range(100))}")
    assert answer.code == 0, answer.err
    states = [RunFolder(path).read().state for path in (tmp_path / "runs" / "many").iterdir() if path.is_dir()]
    assert states == ["finished"] * 200
    figure("15", "a sweep of 200 tiny runs", "200 of 200 finished")
