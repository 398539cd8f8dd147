"""SIGTERM, SIGINT and SIGUSR1 at any moment: everything is saved, no process is left, and the resumed run is identical."""

import os
import random
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from resnet_lab.config.schema import RunConfig
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from tests.builders import write_config
from tests.reliability.lasting import WARMUP, assert_files_are_whole, lasting, stateful
from tests.reliability.processes import command, exit_code, start, train
from tests.reliability.scale import times

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
LONG = stateful(recipe__steps=times(90, 3000), evaluation__every=20)
HANGS = 60.0  # seconds; far more than the 5 seconds and one step that are promised


class Moments:
    """Random moments: before a run has started, or while it trains."""

    def __init__(self):
        self._random = random.Random(0)

    def wait(self, process, folders, log, *, early):
        """Wait for a moment in the start, which takes up to `early` seconds, or in the training of all runs, if that is 0."""
        before = [last_step(folder) for folder in folders]
        wait_for(process, log.exists)
        if early:
            time.sleep(self._random.uniform(0, early))
        else:
            wait_for(process, lambda: all(last_step(folder) > step for folder, step in zip(folders, before, strict=True)))
            time.sleep(self._random.uniform(0, 0.03))


def wait_for(process, condition):
    end = time.monotonic() + 300
    while not condition():
        assert process.is_alive(), f"the process has ended, with {process.exitcode}"
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def last_step(folder):
    return max((record.step for record in folder.records()), default=0) if folder.exists() else 0


def stopped(process, *numbers):
    """Send signals, one soon after the other. The exit code, as a shell counts, and the seconds that the process took to end."""
    begin = time.monotonic()
    for number in numbers:
        os.kill(process.pid, number)
        time.sleep(0.02)
    code = exit_code(process, HANGS)
    return 128 - code if code < 0 else code, time.monotonic() - begin  # below 0 before the program has begun to run


def assert_nothing_is_lost(folder, *, in_training):
    """What was trained is in a checkpoint, and nobody works in the folder."""
    assert not folder.is_locked()
    assert_files_are_whole(folder)
    last = folder.events()[-1] if folder.events() else None
    if in_training:
        assert last is not None
        assert last.name == "preempted"
    saved = checkpoint.steps(folder)
    assert last_step(folder) <= max(saved, default=0)
    if last is not None and last.name == "preempted":
        assert last.step == max(saved)


def processes_in(place):
    """The processes that have this path in their command; on Linux, else none."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(place).encode() in file.read_bytes():
                found.append(file)
        except OSError:  # it has just ended
            continue
    return found


def test_a_signalled_run_is_saved_and_resumes_to_identical_results(tmp_path, figure):
    whole, folder = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    folder.create(RunConfig.model_validate(LONG))
    arguments = ["train", "--run", str(folder.path), "--device", "cpu", "--threads", "1"]
    moments, longest, signals = Moments(), 0.0, NUMBERS * times(1, 20)
    for index, number in enumerate(signals):
        early = index % 4 == 1
        log = tmp_path / f"log-{index}"
        process = start(command, arguments, tmp_path, str(log))
        moments.wait(process, [folder], log, early=0.2 if early else 0)
        code, seconds = stopped(process, number)
        assert code == 128 + number, log.read_text()
        assert "Traceback" not in log.read_text()
        assert_nothing_is_lost(folder, in_training=not early)
        longest = max(longest, seconds)
    assert exit_code(start(command, arguments, tmp_path), 1800) == 0
    assert exit_code(start(train, str(whole.path), LONG, "/dev/null", 60.0), 1800) == 0
    assert lasting(folder) == lasting(whole)
    figure(
        "5",
        f"{len(signals) // 3} SIGTERM, SIGINT and SIGUSR1 each to one run, a quarter of them before it trains",
        f"exit codes 143, 130 and {128 + signal.SIGUSR1}, everything saved, identical; the longest stop took {longest:.1f} s",
    )


def test_a_second_signal_changes_nothing(tmp_path, figure):
    folder = RunFolder(tmp_path / "run")
    folder.create(RunConfig.model_validate(LONG))
    arguments = ["train", "--run", str(folder.path), "--device", "cpu", "--threads", "1"]
    moments, count = Moments(), times(1, 20)
    for index in range(count):
        log = tmp_path / f"log-{index}"
        process = start(command, arguments, tmp_path, str(log))
        moments.wait(process, [folder], log, early=0)
        assert stopped(process, signal.SIGTERM, signal.SIGTERM)[0] == 143, log.read_text()
        assert_nothing_is_lost(folder, in_training=True)
    figure("5", f"{count} times two SIGTERMs to one run", "exit code 143, everything saved")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000)])
def test_a_stop_during_a_stalled_download_ends_it_and_keeps_what_has_come(sent, cli, tmp_path, monkeypatch, figure):
    config = write_config(tmp_path / "waits.toml", data__dataset="auto")
    part = tmp_path / "data" / "cifar-10-python.tar.gz.part"

    def answer_and_stall():
        connection, _ = listener.accept()
        connection.recv(10_000)
        connection.sendall(sent)
        while sent and not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        is_over.wait(HANGS)
        connection.close()

    is_over = threading.Event()
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/cifar")
        server = threading.Thread(target=answer_and_stall)
        server.start()
        answer = cli("train", "--config", config, "--depth", 8, "--plain", "--device", "cpu")
        is_over.set()
        server.join()
    assert answer.code == 143, answer.err
    assert not (tmp_path / "runs").exists()
    assert not sent or part.read_bytes() == bytes(1000)
    figure("5", f"SIGTERM during a download that stalls {'after 1,000 bytes' if sent else 'before an answer'}", "exit code 143")


@pytest.mark.slow
def test_a_signalled_sweep_stops_its_runs_and_resumes_to_identical_results(tmp_path, figure):
    values = {"recipe__steps": times(300, 3000), "recipe__warmup": WARMUP, "log__every": 1}
    config = write_config(tmp_path / "two.toml", **values)
    folders = [RunFolder(tmp_path / "runs" / "two" / name) for name in ("plain-8-s0", "residual-8-s0")]
    arguments = ["sweep", str(config), "--device", "cpu", "--jobs", "2", "--threads", "1"]
    moments, longest, signals = Moments(), 0.0, NUMBERS * times(1, 20)
    for index, number in enumerate(signals):
        early = index % 4 == 1
        log = tmp_path / f"log-{index}"
        process = start(command, arguments, tmp_path, str(log))
        moments.wait(process, folders, log, early=3.0 if early else 0)
        code, seconds = stopped(process, number)
        assert code == 128 + number, log.read_text()
        assert not processes_in(tmp_path)
        for folder in folders:
            assert_nothing_is_lost(folder, in_training=not early)
        longest = max(longest, seconds)
    assert exit_code(start(command, arguments, tmp_path), 1800) == 0
    for folder in folders:
        whole = RunFolder(tmp_path / "whole" / folder.path.name)
        assert exit_code(start(train, str(whole.path), folder.config().model_dump(mode="json"), "/dev/null", 60.0), 1800) == 0
        assert lasting(folder) == lasting(whole)
    figure(
        "5",
        f"{len(signals) // 3} SIGTERM, SIGINT and SIGUSR1 each to a sweep of two runs, a quarter of them before these train",
        f"no process left, everything saved, identical; the longest stop took {longest:.1f} s",
    )
