"""The launcher for a Ray cluster. What it shares with other launchers is in test_contract.py."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from resnet_lab.sweep import ray, ray_task
from resnet_lab.sweep.launch import Job
from resnet_lab.sweep.ray import RayPool, _Task
from resnet_lab.sweep.ray_task import check_sees, train
from tests.builders import write_config
from tests.sweep.harness import of_session
from tests.sweep.harness_ray import RayHarness

SLEEPS = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path("saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path("started").touch()
time.sleep(60)
"""


def run(program, folder, paths=()):
    return train([sys.executable, "-c"], [program], paths, folder / "output.log", 3)


def test_the_task_returns_the_exit_code_of_the_process(tmp_path):
    assert run("import os; print(os.environ['OMP_NUM_THREADS']); raise SystemExit(5)", tmp_path) == 5
    assert (tmp_path / "output.log").read_text() == "3\n"
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path) == 137


def test_the_program_is_that_of_the_node(tmp_path):
    assert train(None, ["--version"], [], tmp_path / "output.log", 1) == 0
    assert (tmp_path / "output.log").read_text().startswith("resnet-lab ")


@pytest.fixture(params=["in the foreground", "in the background of a script"])
def interrupted(request, tmp_path):
    """Send SIGINT to this process, as `ray.cancel` does, once a task has started; a node started so may ignore it."""

    def watch():
        while not (tmp_path / "started").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    ignores = request.param == "in the background of a script"
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN if ignores else signal.default_int_handler)
    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interrupted")
def test_a_cancelled_task_lets_the_process_save(tmp_path):
    assert run(SLEEPS, tmp_path) == 143
    assert (tmp_path / "saved").exists()


@pytest.mark.usefixtures("interrupted")
def test_a_process_that_does_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_task, "SAVE_SECONDS", 0.1)
    assert run(SLEEPS.replace("save)", "signal.SIG_IGN)"), tmp_path) == 137


def test_a_node_that_lacks_a_folder_is_named_and_starts_nothing(tmp_path):
    check_sees([tmp_path])
    with pytest.raises(ConfigError, match=r"^Node \S+ does not see \S+/elsewhere: the runs folder \(--runs\) must be on storage"):
        run("", tmp_path, [tmp_path, tmp_path / "elsewhere"])
    assert not (tmp_path / "output.log").exists()


class RayError(Exception):
    cause = ConfigError("Node n does not see d")


class Errors:
    """The exceptions of `ray.exceptions`."""

    RayError = RayError
    TaskCancelledError = type("TaskCancelledError", (RayError,), {})
    NodeDiedError = type("NodeDiedError", (RayError,), {})
    WorkerCrashedError = type("WorkerCrashedError", (RayError,), {})
    OutOfMemoryError = type("OutOfMemoryError", (RayError,), {})
    TaskUnschedulableError = type("TaskUnschedulableError", (RayError,), {})


def fake_ray(error):
    """A module whose tasks have ended with this error."""

    def get(ref):
        raise error

    return SimpleNamespace(exceptions=Errors, get=get, wait=lambda refs, timeout: (refs, []))


@pytest.mark.parametrize(
    ("error", "code", "notes"),
    [
        (Errors.TaskCancelledError, 130, []),
        (Errors.NodeDiedError, 75, ["plain-8-s0: its node died; it is started again on another."]),
        (Errors.WorkerCrashedError, 137, []),
        (Errors.OutOfMemoryError, 137, []),
        (Errors.RayError, 2, ["plain-8-s0: Node n does not see d"]),
    ],
)
def test_what_ends_a_task_has_an_exit_code(error, code, notes):
    said = []
    assert _Task(fake_ray(error), "ref").exit_code("plain-8-s0", said.append) == code
    assert said == notes


class Node:
    """A node of FakeRay. Its checks end as `answers` says in turn: None passes, GONE makes Ray list it as dead, or an error."""

    def __init__(self, name, answers, gpus=0):
        self.name, self.answers = name, list(answers)
        self.values = {"NodeID": name, "NodeManagerHostname": name, "Alive": True, "Resources": {"CPU": 1.0, "GPU": gpus}}


GONE = "gone"


class FakeRay:
    """A cluster whose tasks, apart from checks, end at once with exit code 0."""

    exceptions = Errors
    util = SimpleNamespace(scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda name, soft: name))

    def __init__(self, *nodes):
        self._nodes = {node.name: node for node in nodes}
        self.started = []  # the resources of each run
        self.checked = []

    def nodes(self):
        return [node.values for node in self._nodes.values()]

    def remote(self, **options):
        def start(*_):
            self.started.append(options)
            return 0

        return lambda _: SimpleNamespace(remote=start, options=self._check)

    def _check(self, scheduling_strategy):
        self.checked.append(scheduling_strategy)
        return SimpleNamespace(remote=lambda _: self._nodes[scheduling_strategy])

    def wait(self, refs, timeout, num_returns=1):
        return refs, []

    def get(self, ref):
        answer = ref.answers.pop(0) if isinstance(ref, Node) else None
        if answer == GONE:
            ref.values["Alive"] = False
            raise Errors.TaskUnschedulableError
        if answer is not None:
            raise answer
        return 0


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Launch a run on a fake cluster; what is yielded."""
    pytest.importorskip("ray")
    monkeypatch.setattr(ray, "_POLL_SECONDS", 0.01)
    folder = RunFolder(tmp_path / "runs" / "two" / "plain-8-s0")
    folder.make()

    def launch(cluster):
        pool = RayPool()
        pool._ray = cluster
        allocation = pool.allocate(1)
        updates = pool.launch([Job(folder, tmp_path)], allocation, lambda: None, lambda _: None)
        return [update for update in updates if update is not None]

    return launch


def test_a_node_is_checked_again_until_it_answers(launched):
    cluster = FakeRay(Node("a", [None]), Node("b", [Errors.TaskUnschedulableError(), Errors.NodeDiedError(), None]))
    assert [update.exit_code for update in launched(cluster)] == [0]
    assert cluster.checked.count("a") == 1
    assert cluster.checked.count("b") == 3


def test_a_fault_of_a_node_that_answers_late_is_found(launched, monkeypatch):
    def late():
        return FakeRay(Node("a", [None]), Node("n", [Errors.TaskUnschedulableError(), RayError()]))

    with pytest.raises(ConfigError, match="Node n does not see d"):
        launched(late())
    monkeypatch.setattr(RayError, "cause", ModuleNotFoundError("No module named 'resnet_lab'"))
    with pytest.raises(ConfigError, match=r"Node n of the Ray cluster cannot run resnet-lab \(No module named 'resnet_lab'\)"):
        launched(late())


def test_a_node_that_never_answers_is_refused(launched, monkeypatch):
    monkeypatch.setattr(ray, "_CHECK_SECONDS", 0.1)
    with pytest.raises(ConfigError, match="Node b of the Ray cluster does not answer: remove it, or try again"):
        launched(FakeRay(Node("a", [None]), Node("b", [Errors.TaskUnschedulableError()] * 1000)))


def test_gpus_of_a_node_that_is_gone_are_not_waited_for(launched):
    cluster = FakeRay(Node("a", [None]), Node("b", [Errors.NodeDiedError(), GONE], gpus=1))
    launched(cluster)
    assert cluster.started == [{"num_cpus": 1, "num_gpus": 0.0, "max_retries": 0}]
    assert cluster.checked == ["b", "b", "a"]


def test_a_cluster_whose_nodes_are_all_gone_is_refused(launched):
    with pytest.raises(ConfigError, match="No node of the Ray cluster has the 1 CPUs and 0 GPUs of a run"):
        launched(FakeRay(Node("a", [GONE])))


def test_a_sweep_says_once_that_no_node_has_room_any_more(launched, monkeypatch):
    cluster = FakeRay(node := Node("a", [None]))
    looks = iter([True, True, False, False, False, True, False])

    def wait(refs, timeout, num_returns=1):
        if refs != [0]:
            return refs, []
        node.values["Alive"] = next(looks, None)
        return (refs if node.values["Alive"] is None else []), []

    monkeypatch.setattr(cluster, "wait", wait)
    notes = [update for update in launched(cluster) if isinstance(update, str)]
    assert notes == ["No node of the Ray cluster has the 1 CPUs and 0 GPUs of a run any more; waiting for one that joins."] * 2


def test_ray_is_an_extra(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    answer = cli("sweep", write_config(tmp_path / "two.toml"), "--launcher", "ray")
    assert (answer.code, answer.out) == (2, "")
    assert "Ray is not installed: run `pip install 'resnet-lab[ray]'`, here and on every node." in answer.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--address", "auto"], "--address needs --launcher ray."),
        (["--gpus-per-run", 0], "--gpus-per-run needs --launcher ray or k8s."),
        (["--cpus-per-run", 2], "--cpus-per-run needs --launcher slurm, ray or k8s."),
        (["--launcher", "ray", "--threads", 2], "; with ray, a run has as many threads as --cpus-per-run."),
        (["--launcher", "ray", "--device", "cpu"], "local or slurm; with ray, --gpus-per-run decides on the device."),
        (["--launcher", "ray", "--gpus-per-run", 0.001], "--gpus-per-run is 0 or 0.01 to 1 on Ray, not 0.001."),
        (["--launcher", "ray", "--address", "head"], "--address 'head' is not HOST:PORT of a Ray head node, `auto` or `local`."),
        (["--launcher", "ray", "--address", "ray://head:10001"], "--address 'ray://head:10001' is not HOST:PORT"),
        (["--launcher", "ray", "--address", "127.0.0.1:1"], "No Ray head node answers at 127.0.0.1:1 (Connection refused)"),
    ],
)
def test_wrong_options_are_refused(options, message, cli, tmp_path):
    if "--launcher" in options:
        pytest.importorskip("ray")
    answer = cli("sweep", write_config(tmp_path / "two.toml"), *options)
    assert (answer.code, answer.out) == (2, "")
    assert message in " ".join(answer.err.split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_cluster_without_room_or_with_another_token_is_refused(cluster, tmp_path):
    config = write_config(tmp_path / "two.toml")
    large = RayHarness(tmp_path, cluster)
    large.start(config, "--cpus-per-run", "100")
    assert large.finish() == 2
    assert "No node of the Ray cluster has the 100 CPUs and 0 GPUs of a run: reduce --cpus-per-run" in large.err
    stranger = RayHarness(tmp_path, cluster)
    stranger._variables = cluster.variables | {"RAY_AUTH_TOKEN": "0" * 64}
    stranger.start(config)
    assert stranger.finish() == 2
    assert f"The Ray cluster at {cluster.address} cannot be used" in stranger.err
    assert "InvalidAuthToken" not in stranger.err
    assert not (tmp_path / "runs").exists()


POOL = """
import json, pathlib, sys
from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.launch import Job, Outcome, start
from resnet_lab.sweep.ray import RayPool
program, jobs = sys.argv[2], []
for name in "abcd":
    folder = RunFolder(pathlib.Path(name))
    folder.make()
    jobs.append(Job(folder, pathlib.Path(".")))
with RayPool(sys.argv[1], gpus=0.5, program=[sys.executable, "-c", program]) as pool:
    allocation = pool.allocate(4)
    codes = [update.exit_code for update in start(pool, jobs, allocation, lambda: None) if isinstance(update, Outcome)]
print(json.dumps([allocation.num_jobs, codes]))
"""
# Waits until a second one runs beside it; at the end two of four are left alone in turn.
GPU = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--run") + 1])
running = folder.with_name(folder.name + ".running")
running.touch()
time.sleep(2)
seen = {"at_once": len(list(folder.parent.glob("*.running"))), "gpu": os.environ["CUDA_VISIBLE_DEVICES"], "argv": sys.argv}
(folder / "seen.json").write_text(json.dumps(seen))
running.unlink()
"""


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_runs_share_a_gpu(cluster, tmp_path):
    node = cluster.add(cpus=4, gpus=1)
    try:
        argv = [sys.executable, "-c", POOL, cluster.address, GPU]
        environment = os.environ | cluster.variables
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    finally:
        cluster.kill(node)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [2, [0, 0, 0, 0]]
    seen = [json.loads((tmp_path / name / "seen.json").read_text()) for name in "abcd"]
    assert max(each["at_once"] for each in seen) == 2
    assert {each["gpu"] for each in seen} == {"0"}
    assert all(each["argv"][-4:] == ["--device", "cuda", "--threads", "1"] for each in seen)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_node_with_other_storage_is_refused(cluster, tmp_path):
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("This user must not mount, so every node sees the same files")
    study = tmp_path / "runs" / "two"
    study.mkdir(parents=True)
    hide = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path / "runs"))
    harness = RayHarness(tmp_path, cluster)
    node = cluster.add(prefix=hide)
    try:
        harness.start(write_config(tmp_path / "two.toml"))
        assert harness.finish() == 2, harness.err
    finally:
        cluster.kill(node)
    assert f"does not see {study}/.probe-" in harness.err
    assert not list(study.glob(".probe-*"))
    assert all(RunFolder(path).read().state == "planned" for path in study.iterdir())


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_cluster_of_its_own_ends_with_the_sweep(tmp_path):
    pytest.importorskip("ray")
    config = write_config(tmp_path / "two.toml")
    argv = [sys.executable, "-m", "resnet_lab", "sweep", str(config), "--launcher", "ray", "--address", "local", "--json"]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}  # else ray would write a token to the user's home
    process = subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert [run["state"] for run in json.loads(out)["runs"]] == ["finished", "finished"]
    assert not list(of_session(process.pid))
