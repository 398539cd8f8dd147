"""`sweep --launcher slurm` with stand-ins for Slurm's commands: the script, what is submitted, what the queue says, refusals."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.errors import ConfigError, retryable
from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.slurm_queue import Submission, queued, record, record_intent, settle, submitting
from tests.builders import ROOT, toml, write_config

RUNS = ["plain-8-s0", "residual-8-s0"]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Stand-ins on PATH: what they say is in files, and each call is a line of `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    stand_in = Commands(folder)
    stand_in.write("sbatch", "echo '77;cluster'")
    stand_in.write("squeue", f"cat {shlex.quote(str(folder / 'queue'))}")
    stand_in.queue()
    return stand_in


class Commands:
    def __init__(self, folder):
        self.folder = folder

    def write(self, name: str, body: str) -> None:
        log = shlex.quote(str(self.folder / "calls"))
        (self.folder / name).write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >>{log}\n{body}\n')
        (self.folder / name).chmod(0o755)

    def queue(self, *lines: str) -> None:
        (self.folder / "queue").write_text("".join(f"{line}\n" for line in lines))

    def calls(self, name: str) -> list[str]:
        path = self.folder / "calls"
        return [line for line in path.read_text().splitlines() if line.startswith(name)] if path.exists() else []


@pytest.fixture
def sweep(cli, tmp_path):
    config = write_config(tmp_path / "two.toml")
    return lambda *arguments: cli("sweep", config, "--launcher", "slurm", *arguments)


def script_of(answer) -> str:
    assert answer.code == 0, answer.err
    return answer.out


def options_of(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]


def test_dry_run_shows_the_script_and_changes_nothing(sweep, tmp_path):
    script = script_of(sweep("--dry-run", "--time", "4:00:00", "--partition", "gpu", "--account", "lab", "--gres", "gpu:1"))
    assert options_of(script) == [
        "job-name=two", "array=0-1", f"output={tmp_path}/runs/two/slurm/%A_%a.out", "open-mode=append", "requeue",
        "signal=TERM@120", "nodes=1", "ntasks=1", "cpus-per-task=1", "time=4:00:00", "partition=gpu", "account=lab", "gres=gpu:1",
    ]  # fmt: skip
    assert f'{sys.executable} -m resnet_lab train --run "${{runs[SLURM_ARRAY_TASK_ID]}}" --data-dir {tmp_path}/data' in script
    assert "--no-forecast --device auto --threads 1" in script
    assert not (tmp_path / "runs").exists()
    assert json.loads(sweep("--dry-run", "--json", "--time", "4:00:00").out)["script"].startswith("#!/bin/bash")


def test_dry_run_needs_no_slurm_but_a_sweep_does(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sweep("--dry-run").code == 0
    answer = sweep()
    assert answer.code == 2
    assert "There is no sbatch on this machine: run this command on a login node" in answer.err
    assert not (tmp_path / "runs").exists()


def test_options_of_the_command_line_replace_those_of_the_config(cli, tmp_path):
    table = {
        "time": "1-00:00:00",
        "at_once": 3,
        "cpus_per_run": 4,
        "options": {"qos": "long", "exclusive": True, "requeue": False},
    }
    config = write_config(tmp_path / "two.toml")
    config.write_text(config.read_text() + "[slurm]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items()))
    free = ("--slurm", "qos=short", "--slurm", 'comment=a # "b"', "--set", "slurm.at_once=2")
    script = script_of(cli("sweep", config, "--launcher", "slurm", "--dry-run", "--time", "90", *free))
    options = options_of(script)
    assert {"time=90", "array=0-1%2", "cpus-per-task=4", "qos=short", "exclusive", 'comment="a # \\"b\\""'} <= set(options)
    assert "requeue" not in options
    assert "--threads 4" in script
    script = script_of(cli("sweep", config, "--launcher", "slurm", "--dry-run", "--threads", 2))
    assert "cpus-per-task=4" in options_of(script)
    assert "--threads 2" in script


def test_section_of_slurm_is_no_part_of_a_run_and_is_ignored_elsewhere(cli, tmp_path):
    config = write_config(tmp_path / "two.toml")
    before = load_study(str(config)).run(kind="plain", depth=8)
    config.write_text(config.read_text() + "[slurm]\ntime = 04:00:00\n")  # TOML's time of day
    assert load_study(str(config)).run(kind="plain", depth=8) == before
    assert load_study(str(config)).slurm().time == "04:00:00"
    assert cli("train", "--config", config, "--depth", 8, "--plain").code == 0
    assert 'time = "04:00:00"' in cli("config", "show", config).out


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            "time = 4",
            "slurm.time: must be a time as sbatch reads it, such as '4:00:00' or '2-00:00:00', of at least 5 minutes, got 4.",
        ),
        ("time = 'soon'", "slurm.time: must be a time"),
        ("tme = 4", "slurm.tme is not a setting (did you mean 'time'?)."),
        ("partition = 'a\\nb'", "slurm.partition: must be one line of printable characters"),
        ("account = ''", "slurm.account: must be one line"),
        ("at_once = 0", "slurm.at_once: input should be greater than or equal to 1, got 0."),
        ("cpus_per_run = '2'", "slurm.cpus_per_run: input should be a valid integer, got '2'."),
        ("options = 3", "slurm.options: input should be a valid dictionary, got 3."),
        ("options.array = '0-3'", "slurm.options: array is a setting of its own: set slurm.at_once."),
        ("options.Bad = 1", "slurm.options: 'Bad' is not a long option of sbatch"),
        ('options.qos = "a\\nrm -rf /"', "slurm.options: qos must be a number, true, or one line of printable characters"),
        ("options.qos = [1]", "slurm.options: qos must be a number"),
    ],
)
def test_invalid_setting_is_refused_in_one_sentence(table, problem, tmp_path):
    config = write_config(tmp_path / "two.toml")
    config.write_text(config.read_text() + "[slurm]\n" + table.replace("'a\\nb'", '"a\\nb"') + "\n")
    with pytest.raises(ConfigError) as error:
        load_study(str(config))
    assert f"{config}: {problem}" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--time", "3"], "--time: slurm.time: must be a time"),
        (["--at-once", "0"], "--at-once: slurm.at_once: input should be greater"),
        (["--slurm", "=x"], "--slurm: slurm.options: '' is not a long option of sbatch"),
        (["--slurm", "qos=a\nb"], "--slurm: slurm.options: qos must be"),
        (["--set", "slurm=3"], "--set: slurm must be a section [slurm], got 3."),
    ],
)
def test_invalid_option_is_refused_by_its_name(sweep, arguments, problem):
    answer = sweep("--dry-run", *arguments)
    assert answer.code == 2
    assert problem in answer.err


def test_option_without_its_launcher_is_refused(cli):
    answer = cli("sweep", "--time", "4:00:00", "--slurm", "qos=long")
    assert (answer.code, answer.err) == (2, "Error: --time, --slurm need --launcher slurm.\n")


def test_path_that_no_script_can_hold_is_refused(cli, slurm, tmp_path):
    config = write_config(tmp_path / "two.toml")
    for name, problem in (("a\nb", "cannot be written into a script"), ("a\\b", "contains a backslash")):
        answer = cli("sweep", config, "--launcher", "slurm", "--runs", tmp_path / name)
        assert answer.code == 2
        assert problem in answer.err
    assert slurm.calls("sbatch") == []


def test_submission_is_recorded_and_the_same_command_submits_what_is_left(sweep, slurm, tmp_path, cli):
    answer = sweep()
    assert answer.code == 0, answer.err
    study = tmp_path / "runs" / "two"
    assert "Submitted job 77: 2 runs in 2 tasks. To watch: `resnet-lab runs runs/two --watch` or `squeue --me`." in answer.err
    assert "To cancel: `scancel 77`" in answer.err
    assert slurm.calls("sbatch") == [f"sbatch --parsable {study}/slurm/array-1.sh"]
    assert all(RunFolder(study / name).exists() for name in RUNS)

    slurm.queue("77_0 RUNNING", "77_1 PENDING", "12_0 RUNNING")
    answer = sweep("--json")
    busy = "2 runs are queued or running already: plain-8-s0 (running 77_0), residual-8-s0 (pending 77_1)."
    assert busy in answer.err
    assert json.loads(answer.out)["job"] is None
    assert len(slurm.calls("sbatch")) == 1
    assert "squeue --noheader --array --jobs=77 --format=%F_%K %T" in slurm.calls("squeue")

    slurm.queue("77_1 PENDING")
    RunFolder(study / RUNS[0]).append_event("finished", 30)
    assert "1 run is queued or running already: residual-8-s0 (pending 77_1)." in sweep().err
    slurm.queue()
    slurm.write("sbatch", "echo 78")
    assert json.loads(sweep("--json").out)["tasks"] == [["residual-8-s0"]]
    script = (study / "slurm" / "array-2.sh").read_text()
    assert "array=0-0" in options_of(script)
    assert f"  {study}/residual-8-s0\n)" in script
    assert json.loads(cli("runs", "two", "--json").out)["studies"][0]["queue"] == {}


def test_run_that_a_process_holds_is_not_submitted(sweep, slurm, tmp_path):
    assert sweep().code == 0
    with RunFolder(tmp_path / "runs" / "two" / RUNS[0]).lock():
        answer = sweep("--json")
    assert json.loads(answer.out)["tasks"] == [[RUNS[1]]]
    assert f"plain-8-s0 (trained by process {os.getpid()} on " in answer.err


def test_several_runs_in_a_task_start_through_the_local_pool(sweep, slurm, tmp_path):
    answer = sweep("--jobs", 2, "--cpus-per-run", 3, "--json")
    assert json.loads(answer.out)["tasks"] == [RUNS]
    script = (tmp_path / "runs" / "two" / "slurm" / "array-1.sh").read_text()
    assert {"array=0-0", "cpus-per-task=6"} <= set(options_of(script))
    assert 'resnet_lab task "${runs[@]:SLURM_ARRAY_TASK_ID * 2:2}" --jobs 2' in script


def test_refusal_of_sbatch_is_quoted_and_leaves_no_script(sweep, slurm, tmp_path):
    slurm.write("sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1")
    answer = sweep("--partition", "x")
    assert answer.code == 2
    assert "sbatch refused the job: sbatch: error: invalid partition specified: x." in answer.err
    assert [path.name for path in (tmp_path / "runs" / "two" / "slurm").glob("[!.]*")] == ["jobs.jsonl"]
    slurm.write("sbatch", "echo 77")
    assert sweep().code == 0


def test_command_that_was_killed_after_sbatch_submits_nothing_twice(sweep, slurm, tmp_path):
    slurm.write("sbatch", "kill -KILL $PPID; echo 77")
    argv = [sys.executable, "-m", "resnet_lab", "sweep", "two.toml", "--launcher", "slurm"]
    killed = subprocess.run(argv, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    script = tmp_path / "runs" / "two" / "slurm" / "array-1.sh"
    slurm.queue("77_0 RUNNING", "77_1 PENDING")
    slurm.write("squeue", f"case $* in *%o*) printf '%s\\n' '76 /x' '77 {script}' x ;; *) cat {slurm.folder}/queue ;; esac")
    for _ in range(2):
        answer = sweep()
        assert answer.code == 0, answer.err
        assert "already: plain-8-s0 (running 77_0), residual-8-s0 (pending 77_1)." in answer.err
    assert len(slurm.calls("sbatch")) == 1
    assert [call for call in slurm.calls("squeue") if "%o" in call] == ["squeue --noheader --me --format=%F %o"]


@pytest.fixture
def interrupted(tmp_path):
    """The script of a submission that was interrupted."""
    script = tmp_path / "runs" / "two" / "slurm" / "array-1.sh"
    script.parent.mkdir(parents=True)
    script.touch()
    record_intent(script.parent.parent, script.name, [RUNS])
    return script


def test_submission_that_may_be_on_its_way_is_waited_for(sweep, slurm, interrupted):
    answer = sweep()
    assert answer.code == 75
    assert re.search(r"is submitting \S+two, or was killed while it did: run the same command again in 1\d\d s", answer.err)
    assert sweep("--dry-run").code == 0
    assert slurm.calls("sbatch") == []
    os.utime(interrupted, (0, 0))
    assert sweep().code == 0
    assert len(slurm.calls("sbatch")) == 1


def test_interrupted_submission_is_not_repeated_while_the_queue_cannot_be_asked(sweep, slurm, interrupted):
    os.utime(interrupted, (0, 0))
    slurm.write("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    answer = sweep()
    assert answer.code == 2
    assert "squeue failed: slurm_load_jobs error: Unable to contact slurm controller." in answer.err
    assert slurm.calls("sbatch") == []
    assert interrupted.exists()


def test_submission_within_a_job_does_not_pass_on_its_resources(sweep, slurm, tmp_path, monkeypatch):
    slurm.write("sbatch", f"env >{shlex.quote(str(tmp_path / 'env'))}; echo 77")
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SLURM_CONF"):
        monkeypatch.setenv(name, "5")
    assert sweep().code == 0
    assert [line for line in (tmp_path / "env").read_text().splitlines() if line.startswith("SLURM")] == ["SLURM_CONF=5"]


def test_diverged_run_is_reported_and_not_submitted(sweep, slurm, tmp_path):
    assert sweep().code == 0
    RunFolder(tmp_path / "runs" / "two" / RUNS[0]).append_event("diverged", 5)
    answer = sweep("--json")
    assert answer.code == 5
    assert json.loads(answer.out)["tasks"] == [[RUNS[1]]]
    assert "plain-8-s0 (diverged)" in answer.err


def test_runs_shows_the_queue_of_a_submitted_study(sweep, slurm, cli, study, tmp_path, monkeypatch):
    slurm.queue("77_1 PENDING")
    assert sweep().code == 0
    table = cli("runs", "two").out
    assert "queue" in table
    assert "pending 77_1" in table
    assert "queue" not in cli("runs", "s").out
    slurm.write("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    answer = cli("runs", "two")
    assert "pending" not in answer.out
    assert "The queue is not shown: squeue failed: slurm_load_jobs error: Unable to contact slurm controller." in answer.err
    slurm.write("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert "pending" not in cli("runs", "two").out  # it has ended long ago
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "queue" not in cli("runs", "two").out + cli("runs", "two").err


def test_squeue_that_hangs_is_given_up(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr("resnet_lab.sweep.slurm_queue._SQUEUE_SECONDS", 0.2)
    slurm.write("squeue", "exec sleep 60")
    (tmp_path / "slurm").mkdir()
    record(tmp_path, Submission("5", [["a"]]), "array-1.sh")
    with pytest.raises(Exception, match="squeue gave no answer within 0 s"):
        queued(tmp_path)


def test_damaged_record_of_submissions_is_read_as_far_as_it_goes(slurm, tmp_path):
    (tmp_path / "slurm").mkdir()
    lines = ["{", "3", "{}", '{"job": "1,2", "tasks": []}', '{"job": "3", "tasks": [3]}', '{"job": "4", "tasks": [["a", "b"]]}']
    lines += [f'{{"script": "{name}", "tasks": []}}' for name in ("../x.sh", "array-1.sh")]
    (tmp_path / "x.sh").touch()
    (tmp_path / "slurm" / "jobs.jsonl").write_text("\n".join(lines))
    settle(tmp_path)
    assert (tmp_path / "x.sh").exists()
    slurm.queue("4_0 RUNNING", "4_1 RUNNING", "4_x RUNNING", "3_0 RUNNING", "nonsense")
    assert queued(tmp_path) == {"a": "running 4_0", "b": "running 4_0"}


@pytest.fixture
def ends_with(sweep, slurm, tmp_path):
    """Run the script of a task whose run ends with an exit code after so many seconds; returns the calls of scontrol."""
    study = tmp_path / "runs" / "two"
    assert sweep().code == 0

    def run(code: int, seconds: int = 100) -> "subprocess.CompletedProcess[str]":
        slurm.write("srun", f"exit {code}")
        task = {
            "SLURM_ARRAY_JOB_ID": "77",
            "SLURM_ARRAY_TASK_ID": "1",
            "SLURM_SUBMIT_DIR": "/some where",
            "SECONDS": str(seconds),
        }
        return subprocess.run(
            ["bash", study / "slurm" / "array-1.sh"], env=os.environ | task, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize("code", [138, 140, 143])
def test_task_that_was_stopped_queues_itself_again_every_time(code, ends_with, slurm):
    slurm.write("scontrol", "")
    for _ in range(5):
        assert ends_with(code).returncode == code
    assert slurm.calls("scontrol") == ["scontrol requeue 77_1"] * 5
    assert "residual-8-s0 --data-dir" in slurm.calls("srun")[0]


@pytest.mark.parametrize(("code", "seconds"), [(74, 100), (75, 100), (137, 100), (139, 100), (143, 5)])
def test_task_that_failed_by_chance_or_at_once_is_queued_again_three_times(code, seconds, ends_with, slurm):
    slurm.write("scontrol", "")
    for _ in range(5):
        ends_with(code, seconds)
    assert len(slurm.calls("scontrol")) == 3


def test_task_with_another_exit_code_is_not_queued_again(ends_with, slurm):
    slurm.write("scontrol", "")
    codes = [0, 1, 2, 3, 4, 5, 6, 128]
    assert not any(map(retryable, codes))
    for code in codes:
        assert ends_with(code).returncode == code
    assert slurm.calls("scontrol") == []


def test_task_whose_disk_is_full_is_queued_again_as_often_as_slurm_has_not(ends_with, slurm, tmp_path, monkeypatch):
    slurm.write("scontrol", "")
    (tmp_path / "runs/two/slurm/77_1.retries").symlink_to("/dev/full")
    for number in range(5):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(number))
        ends_with(74)
    assert len(slurm.calls("scontrol")) == 3


def test_two_submissions_at_once_submit_once(sweep, slurm, tmp_path):
    with submitting(tmp_path / "runs/two"):
        answer = sweep()
    assert answer.code == 75
    assert "Another process is submitting" in answer.err
    assert slurm.calls("sbatch") == []
    assert sweep().code == 0


def test_task_that_cannot_be_queued_again_prints_the_command_that_submits_it(ends_with, slurm, tmp_path):
    slurm.write("scontrol", "echo 'scontrol: not permitted' >&2; exit 1")
    ended = ends_with(143)
    assert f"cd /some\\ where && sbatch --array=1 {tmp_path}/runs/two/slurm/array-1.sh" in ended.stderr


def test_task_trains_its_runs_except_finished_ones_and_reports_those_that_fail(cli, tmp_path):
    study = load_study(str(write_config(tmp_path / "two.toml")))
    finished, torn, fresh = (RunFolder(tmp_path / f"plain-8-s{seed}") for seed in range(3))
    for seed, folder in enumerate((finished, torn, fresh)):
        folder.create(study.run(kind="plain", depth=8, seed=seed))
    finished.append_event("finished", 30)
    torn.checkpoints.mkdir()
    (torn.checkpoints / "step-00000010.pt").write_bytes(b"torn")
    answer = cli("task", finished.path, torn.path, fresh.path, "--jobs", 2, "--threads", 1)
    assert answer.code == 5
    assert "These runs did not finish: plain-8-s1." in answer.err
    assert f"{fresh.path} is finished." in answer.err
    assert not (finished.path / "metrics.jsonl").exists()
    full = RunFolder(tmp_path / "plain-8-s3")
    full.create(study.run(kind="plain", depth=8, seed=3))
    full.log_file.mkdir()
    assert cli("task", torn.path, full.path, "--jobs", 2, "--threads", 1).code == 74  # worth another try
    assert cli("task", tmp_path / "none").code == 2
