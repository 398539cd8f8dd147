"""One run over several processes: the same numbers as in one process, and an end that all of them share."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import distributed

from resnet_lab.errors import ConfigError
from resnet_lab.record import checkpoint
from resnet_lab.record.store import RunFolder
from resnet_lab.run.device import Resources
from resnet_lab.run.experiment import run
from resnet_lab.run.group import Group, agreed_name
from resnet_lab.run.ranks import ALONE, Ranks
from tests import ranks
from tests.builders import CPU, ROOT, kill_at, records_without_times, settings, tiny, write_config

WARMUP = {"from_depth": 8, "lr": 0.001, "until_error": 0.999, "window": 8}
# Every kind of state, a short last batch of 6 images, evaluations of three batches, and plateau checks.
CHANGES = {
    "data__train_images": 122, "data__validation_images": 20, "data__test_images": 300, "recipe__warmup": WARMUP,
    "compute__replicas": 2, "recipe__steps": 16, "evaluation__every": 6,
}  # fmt: skip


def results(folder: RunFolder):
    """The records and the final weights, moving averages and momentum of a run, as one list of comparable values."""
    state, _ = checkpoint.load_newest(folder)
    assert state is not None
    moments = [moment["momentum_buffer"] for _, moment in sorted(state["optimizer"]["state"].items())]
    tensors = [*state["net"].values(), *moments]
    return records_without_times(folder), state["step"], state["schedule"], [tensor.numpy().tobytes() for tensor in tensors]


def train_alone(path: Path, **changes) -> RunFolder:
    folder = RunFolder(path)
    list(run(tiny(**CHANGES | changes), folder, CPU, measure_speed=False))
    return folder


def train_together(path: Path, size: int = 2, what: dict | None = None, **changes) -> list[int]:
    path.parent.mkdir(exist_ok=True)
    return ranks.Job(size, ranks.train, path, settings(**CHANGES | changes), what or {}).exit_codes()


def test_two_ranks_equal_one_process_and_either_resumes_the_other_exactly(tmp_path):
    alone = results(train_alone(tmp_path / "alone"))
    assert train_together(tmp_path / "together") == [0, 0]
    assert results(RunFolder(tmp_path / "together")) == alone
    environment = RunFolder(tmp_path / "together").read().environment
    assert (environment["processes"], environment["replicas"], environment["bn"]) == (2, 2, "replica")

    first_together = RunFolder(tmp_path / "first-together")
    assert train_together(first_together.path, what={1: ("stop", 12)}) == [0, 0]  # only one of them is asked to stop
    assert [event.name for event in first_together.events()][-2:] == ["checkpointed", "preempted"]
    assert 6 <= first_together.events()[-1].step < 12
    list(run(tiny(**CHANGES), first_together, CPU, measure_speed=False))
    assert results(first_together) == alone

    first_alone = RunFolder(tmp_path / "first-alone")
    kill_at(10, tiny(**CHANGES), first_alone, CPU)
    list(run(tiny(**CHANGES), first_alone, CPU, stop=StopAfter(9), measure_speed=False))
    assert train_together(first_alone.path) == [0, 0]
    assert results(first_alone) == alone
    assert [event.detail["changed"] for event in first_alone.events() if event.name == "resumed"] == [{}]


def test_ranks_of_each_start_agree_on_a_name_though_the_store_has_earlier_ones():
    store = distributed.HashStore()

    def agree(rank, seconds):
        time.sleep(seconds)
        return agreed_name(store, rank, 2)

    names = []
    for delays in ((0.0, 0.0), (0.0, 0.1), (0.1, 0.0)):
        with ThreadPoolExecutor(2) as pool:
            [name] = set(pool.map(agree, range(2), delays))
        names.append(name)
    assert len(set(names)) == 3


def test_a_sweep_and_other_devices_are_refused_under_torchrun(cli, monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    answer = cli("sweep", "smoke")
    assert answer.code == 2
    assert "start it without torchrun" in answer.err
    with pytest.raises(ConfigError, match="one GPU each, not on cuda:1"):
        Group().device("cuda:1")
    assert Group().device("cpu") == "cpu"


def test_the_speed_is_measured_with_the_work_of_one_rank():
    config = tiny(compute__replicas=4)
    assert ALONE.share_of(config) is config
    share = Ranks()
    share.size = 2
    measured = share.share_of(config)
    assert (measured.recipe.batch_size, measured.compute.replicas) == (8, 2)
    share.size = 4
    measured = share.share_of(tiny(compute__replicas=4, compute__bn="sync"))
    assert (measured.recipe.batch_size, measured.compute.replicas, measured.compute.bn) == (4, 1, "replica")


class StopAfter:
    """A `stop` that is true after so many calls."""

    def __init__(self, calls: int) -> None:
        self.calls_left = calls

    def __call__(self) -> bool:
        self.calls_left -= 1
        return self.calls_left < 0


def test_after_a_rank_was_killed_the_others_end_and_the_job_resumes_exactly(tmp_path):
    begin = time.monotonic()
    assert train_together(tmp_path / "r" / "run", what={1: ("kill", 13)}) == [76, -signal.SIGKILL]
    assert time.monotonic() - begin < ranks.SECONDS
    assert "Another process of this job has ended" in (tmp_path / "r" / "0.log").read_text()
    folder = RunFolder(tmp_path / "r" / "run")
    assert folder.read().state == "interrupted"
    assert train_together(folder.path) == [0, 0]
    assert results(folder) == results(train_alone(tmp_path / "alone"))


def test_an_error_of_another_rank_ends_rank_0_which_records_it(tmp_path):
    assert train_together(tmp_path / "run", what={1: ("fail", 5)}) == [3, 3]
    assert (tmp_path / "0.log").read_text() == "Rank 1: an image cannot be read"
    folder = RunFolder(tmp_path / "run")
    assert (folder.read().state, folder.events()[-1].detail["reason"]) == ("failed", "Rank 1: an image cannot be read")
    assert train_together(folder.path) == [0, 0]
    assert results(folder) == results(train_alone(tmp_path / "alone"))


def test_ranks_whose_states_differ_write_no_checkpoint(tmp_path):
    assert train_together(tmp_path / "run", what={1: ("differ", 4)}) == [6, 6]
    for rank in (0, 1):
        assert "rank 1 has another state than rank 0: no checkpoint was written" in (tmp_path / f"{rank}.log").read_text()
    written = checkpoint.steps(RunFolder(tmp_path / "run"))
    assert written
    assert max(written) <= 4


def test_an_error_of_rank_0_ends_all_ranks_with_its_exit_code(tmp_path):
    config = write_config(tmp_path / "config.toml", **CHANGES)
    arguments = ["train", "--config", str(config), "--depth", "8", "--plain", "--device", "cpu", "--threads", "1"]

    def job(*more, size=2):
        codes = ranks.Job(size, ranks.command, [*arguments, *more], tmp_path).exit_codes()
        logs = [(tmp_path / f"{rank}.log").read_text() for rank in range(size)]
        assert logs[1:] == [""] * (size - 1)
        return codes, " ".join(logs[0].split())

    codes, log = job(size=3)
    assert codes == [2, 2, 2]
    assert log.startswith("Error: 3 processes cannot share compute.replicas = 2 equally")
    codes, log = job("--set", "compute.replicas=5")
    assert codes == [2, 2]
    assert "5 replicas cannot have equal parts of a batch of 16 images" in log
    codes, log = job("--device", "mps")
    assert codes == [2, 2]
    codes, log = job("--set", "recipe.lr=1e30", "--study", "diverging")
    assert codes == [4, 4]
    assert RunFolder(tmp_path / "runs" / "diverging" / "plain-8-s0").read().state == "diverged"
    folder = RunFolder(tmp_path / "runs" / "held" / "plain-8-s0")
    folder.make()
    with folder.lock():
        codes, log = job("--study", "held")
    assert codes == [75, 75]
    assert not folder.exists()


def test_synchronised_statistics_on_two_ranks_are_close_to_those_of_one_process(tmp_path):
    changes = {"compute__bn": "sync", "recipe__steps": 6, "data__test_images": 20}
    alone, _ = checkpoint.load_newest(train_alone(tmp_path / "alone", **changes))
    assert train_together(tmp_path / "together", **changes) == [0, 0]
    together, _ = checkpoint.load_newest(RunFolder(tmp_path / "together"))
    assert alone is not None
    assert together is not None
    for name, value in alone["net"].items():
        torch.testing.assert_close(together["net"][name], value, rtol=1e-4, atol=1e-5)
    list(run(tiny(**CHANGES | changes), RunFolder(tmp_path / "together"), CPU))  # it has ended


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_four_replicas_on_two_or_four_ranks_equal_those_of_one_process(tmp_path, size):
    changes = {"compute__replicas": 4, "data__train_images": 124}
    assert train_together(tmp_path / "together", size, **changes) == [0] * size
    assert results(RunFolder(tmp_path / "together")) == results(train_alone(tmp_path / "alone", **changes))


def torchrun(folder: Path, *arguments: object, restarts: int = 0) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", str(restarts),
            "--standalone", "-m", "resnet_lab", *map(str, arguments),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def worker(parent: int, rank: int) -> int:
    """The process of a rank that torchrun has started."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            values = dict(line.split("=", 1) for line in (process / "environ").read_text().split("\0") if "=" in line)
            is_child = f"\nPPid:\t{parent}\n" in (process / "status").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if is_child and values.get("RANK") == str(rank):
            return int(process.name)
    raise LookupError(rank)


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


LONGER = {"recipe__steps": 200, "evaluation__every": 200, "log__every": 5, "log__keep": [20]}


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("how", ["killed", pytest.param("stopped", marks=pytest.mark.slow)])
def test_torchrun_restarts_a_killed_job_and_passes_on_sigterm(tmp_path, how):
    config = write_config(tmp_path / "config.toml", **CHANGES | LONGER)
    arguments = ["train", "--config", config, "--depth", 8, "--residual", "--device", "cpu", "--threads", 1, "--no-forecast"]
    folder = RunFolder(tmp_path / "runs" / "config" / "residual-8-s0")
    job = torchrun(tmp_path, *arguments, restarts=1)
    wait_for(lambda: 20 in checkpoint.steps(folder) or job.poll() is not None)
    if how == "killed":
        os.kill(worker(job.pid, 1), signal.SIGKILL)
        _, shown = job.communicate(timeout=120)
        assert job.returncode == 0, shown
        assert len(re.findall("Another process of this job has ended", shown)) <= 1
        assert "Traceback" not in shown
    else:
        begin = time.monotonic()
        job.terminate()
        job.communicate(timeout=60)
        assert time.monotonic() - begin < ranks.SECONDS
        assert [event.name for event in folder.events()][-1] == "preempted"
        list(run(folder.config(), folder, Resources(device="cpu", threads=1), measure_speed=False))
    assert [event.name for event in folder.events()].count("resumed") == 1
    assert results(folder) == results(train_alone(tmp_path / "alone", **LONGER))
