"""The command line: its help, its results, and bad input, which gets one sentence and an exit code."""

import json
import re
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock

from resnet_lab.cli.options import stop_signals
from resnet_lab.config.files import load_study, presets
from resnet_lab.record.store import RunFolder
from tests.builders import COMMANDS, ROOT, fake_cifar10, tiny

README = ROOT / "README.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    answer = cli(*command.split(), "--help")
    assert answer.code == 0
    assert "Usage: resnet-lab" in answer.out
    assert len(answer.out.splitlines()) > 5


def test_every_command_is_listed_in_the_help_and_in_the_documents(cli):
    listed = cli("--help").out
    documents = README.read_text() + (README.parent / "docs/commands.md").read_text()
    for command in COMMANDS:
        assert command.split()[0] in listed
        assert f"resnet-lab {command.split()[0]}" in documents


def test_train_and_sweep_have_exactly_the_documented_options(cli):
    """A list to be changed by hand: adding, removing or renaming an option changes things for users."""
    options = set(re.findall(r"--[a-z-]+", cli("train", "--help").out))
    assert options == {
        "--depth", "--plain", "--residual", "--seed", "--config", "--steps", "--lr", "--batch-size", "--set", "--compile",
        "--no-compile", "--study",
        "--runs", "--run", "--data-dir", "--device", "--threads", "--help",
    }  # fmt: skip
    options = set(re.findall(r"--[a-z-]+", cli("sweep", "--help").out))
    assert options == {
        "--set", "--compile", "--no-compile", "--study", "--runs", "--jobs", "--threads", "--data-dir", "--device", "--dry-run",
        "--until-decided", "--max-seeds", "--report", "--json", "--launcher", "--time", "--partition", "--account", "--gres",
        "--cpus-per-run", "--gpus-per-run", "--at-once", "--slurm", "--address", "--image", "--claim", "--namespace", "--help",
    }  # fmt: skip


def test_two_runs_are_trained_compared_and_reported(cli):
    for kind in ("plain", "residual"):
        answer = cli("train", "--config", "smoke", "--depth", 8, f"--{kind}", "--threads", 1)
        assert answer.code == 0, answer.err
        assert f"{kind} network of depth 8, 5,006 parameters, 0.85 M multiply-adds" in answer.err
        assert "30 steps at about" in answer.err
        assert "SYNTHETIC STAND-IN, NOT CIFAR-10" in answer.err
    assert "is finished at step 30" in cli("train", "--config", "smoke", "--depth", 8, "--plain").err
    answer = cli("compare")
    assert answer.code == 0
    assert "SYNTHETIC STAND-IN" in answer.err
    assert "All plain nets have depth 8" in answer.err
    values = json.loads(cli("compare", "--json").out)
    assert [cell["kind"] for cell in values["cells"]] == ["plain", "residual"]
    assert values["cells"][0]["train_images"] == 800
    summary = json.loads(Path("runs/smoke/summary.json").read_text())
    assert summary == values
    for suffix in ("png", "svg", "pdf", "csv"):
        assert Path(f"runs/smoke/curves.{suffix}").stat().st_size > 1000
    page = cli("report", "smoke")
    assert page.out.strip() == "runs/smoke/report/index.html"
    assert "SYNTHETIC STAND-IN" in Path(page.out.strip()).read_text()
    paper = cli("report", "smoke", "--figures", "paper")
    assert paper.out.split() == ["runs/smoke/paper/figure6.pdf"]
    assert "Figure 1 needs" in paper.err
    assert "Figure 7 needs" in paper.err
    listed = json.loads(cli("runs", "--json").out)
    assert [run["state"] for run in listed["studies"][0]["runs"]] == ["finished", "finished"]
    assert "plain-8-s0" in cli("runs").out


def test_same_command_resumes_an_unfinished_run(cli, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "smoke" / "plain-8-s0")
    assert cli("train", "--config", "smoke", "--depth", 8, "--plain").code == 0
    lines = (folder.path / "events.jsonl").read_text().splitlines()
    (folder.path / "events.jsonl").write_text("\n".join(lines[:-1]) + "\n")  # as if it had been killed just before it finished
    answer = cli("train", "--config", "smoke", "--depth", 8, "--plain")
    assert "Resuming from step 30." in answer.err
    assert folder.read().state == "finished"


def test_config_show_prints_a_file_that_loads_to_the_same_settings(cli):
    assert "recipe" in json.loads(cli("config", "schema").out)["properties"]
    shown = cli("config", "show", "paper", "--set", "recipe.steps=1000", "--set", "recipe.schedule.milestones=['50 %']").out
    assert "steps = 1000" in shown
    assert "milestones = [500]" in shown
    Path("again.toml").write_text(shown)
    assert cli("config", "show", "./again.toml").out == shown
    for preset in presets():
        shown = cli("config", "show", preset).out
        Path("again.toml").write_text(shown)
        assert cli("config", "show", "./again.toml").out == shown
    schema = json.loads(cli("config", "schema").out)
    assert not [section for section in (schema, *schema["$defs"].values()) if "required" in section]
    names = json.loads(cli("config", "show", "--json").out)["presets"].keys()
    assert names == {"cures", "demo", "imagenet", "paper", "plateau", "quick", "reference", "shortcuts", "smoke"}


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_hangup_is_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            stop.defer()
            signal.raise_signal(signal.SIGHUP)
            assert not stop
            signal.raise_signal(signal.SIGTERM)
            assert stop.exit_code == 143
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with stop_signals() as stop:
            stop.defer()
            signal.raise_signal(signal.SIGHUP)
            assert stop.exit_code == 129
    finally:
        signal.signal(signal.SIGHUP, before)


STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_first_signal_stops_second_changes_nothing_third_ends_at_once(number):
    before = signal.getsignal(number)
    with stop_signals() as stop:
        stop.defer()
        signal.raise_signal(number)
        assert stop.exit_code == 128 + number
        signal.raise_signal(signal.SIGTERM)
        assert stop.exit_code == 128 + number
        with pytest.raises(SystemExit) as end:
            signal.raise_signal(signal.SIGTERM)
        assert end.value.code == 143
    assert signal.getsignal(number) == before


def test_a_signal_with_nothing_to_save_ends_the_process_at_once():
    with stop_signals() as stop:
        with pytest.raises(SystemExit) as end:
            signal.raise_signal(signal.SIGUSR1)
        assert end.value.code == 128 + signal.SIGUSR1
        signal.raise_signal(signal.SIGUSR1)
        assert stop


def test_version_is_printed(cli):
    assert cli("--version").out.strip() == f"resnet-lab {version('resnet-lab')}"


BAD_INPUT = [
    (
        ["train", "--depth", "57", "--plain"],
        2,
        "Depth 57 is not of the form 6n+2 (n blocks per stage); nearest valid: 56 and 62.",
    ),
    (["train", "--depth", "56", "--plain", "--steps", "-5"], 2, "recipe.steps: input should be greater than or equal to 0"),
    (["train", "--depth", "56", "--plain", "--steps", "soon"], 2, "recipe.steps: must be a whole number, or a duration"),
    (["train", "--depth", "56", "--plain", "--lr", "nan"], 2, "recipe.lr"),
    (
        ["train", "--depth", "56", "--plain", "--steps", "5", "--set", "recipe.steps=5"],
        2,
        "--steps and --set both set recipe.steps; drop one of them.",
    ),
    (["train", "--plain", "--depth", "8", "--set", "model.depth=14"], 2, "--depth and --set both set model.depth; drop one of"),
    (["train", "--plain", "--depth", "8", "--set", "model.kind=residual"], 2, "--plain and --set both set model.kind; drop one"),
    (
        ["train", "--plain", "--depth", "8", "--seed", "1", "--set", "seed=2"],
        2,
        "--seed and --set both set seed; drop one of them",
    ),
    (
        ["summary", "--residual", "--shortcut", "B", "--set", "model.shortcut=C"],
        2,
        "--shortcut and --set both set model.shortcut",
    ),
    (["train", "--plain", "--depth", "8", "--config", ""], 2, "There is no preset ''"),
    (["train", "--plain", "--depth", "8", "--study", ""], 2, "''"),
    (["sweep", "smoke", "--set", "sweep.seeds=[]"], 2, "sweep.seeds needs at least 1 value, got []."),
    (["runs", ""], 2, "There is no study ''"),
    (
        ["train", "--depth", "56", "--plain", "--batch-size", "5", "--set", "recipe={lr = 1}"],
        2,
        "--batch-size and --set both set recipe.batch_size; drop one of them.",
    ),
    (["train", "--run", "nowhere", "--lr", "1"], 2, "drop --lr"),
    (["train", "--depth", "56"], 2, "use --plain or --residual"),
    (["train", "--plain"], 2, "use --depth N"),
    (["train", "--depth", "56", "--plain", "--config", "papr"], 2, "did you mean 'paper'?"),
    (["train", "--depth", "56", "--plain", "--set", "recipe.stps=1"], 2, "did you mean 'recipe.steps'?"),
    (["train", "--depth", "56", "--plain", "--set", "recipe.steps=-5"], 2, "greater than or equal to 0"),
    (["train", "--depth", "56", "--plain", "--set", "recipe.batch_size=99999"], 2, "larger than the 45000 training images"),
    (
        ["train", "--depth", "56", "--plain", "--config", "paper", "--set", "recipe.schedule.milestones=[99999]"],
        2,
        "must be below the run's 64000 steps",
    ),
    (["train", "--depth", "56", "--plain"], 3, "CIFAR-10 is not in data: download it with `resnet-lab data --download`"),
    (["train", "--depth", "56", "--plain", "--data-dir", "nowhere"], 3, "CIFAR-10 is not in nowhere"),
    (["train", "--depth", "56", "--plain", "--device", "tpu"], 2, "Device 'tpu' is not available; --device accepts auto, "),
    (["train", "--depth", "56", "--plain", "--study", "../x"], 2, "--study expects a plain folder name"),
    (["train", "--run", "nowhere"], 2, "There is no run in nowhere"),
    (["train", "--run", "nowhere", "--depth", "8"], 2, "drop --depth"),
    (["train", "--depth", "many"], 2, "Invalid value"),
    (["sweep", "papr"], 2, "did you mean 'paper'?"),
    (["sweep", "paper"], 3, "CIFAR-10 is not in data"),
    (["sweep", "smoke", "--set", "sweep.depths=[8, 9]"], 2, "Depth 9 is not of the form 6n+2"),
    (["sweep", "smoke", "--jobs", "0"], 2, "--jobs"),
    (["sweep", "smoke", "--set", "sweep.seeds=[-1]"], 2, "--set: seed: input should be greater than or equal to 0"),
    (["summary", "--depth", "8", "--plain", "--set", 'data.dataset=["a"]'], 2, "--set: data.dataset"),
    (["compare"], 2, "There are no runs in runs: run `resnet-lab sweep demo`"),
    (["compare", str(ROOT / "reference/quick"), str(ROOT / "reference/quick")], 2, "The study quick is named twice."),
    (["compare", str(ROOT / "reference/quick/plain-20-s0")], 2, "plain-20-s0 is a run; name its study"),
    (["compare", "nothing"], 2, "There is no study 'nothing' in runs; it has none yet."),
    (["report"], 2, "There are no runs in runs"),
    (["runs", "nothing"], 2, "There is no study 'nothing'"),
    (["summary", "--depth", "21", "--plain"], 2, "nearest valid: 20 and 26"),
    (
        ["summary", "--depth", "20", "--plain", "--shortcut", "B"],
        2,
        "--shortcut: model.shortcut: option B does not apply to a plain network",
    ),
    (["summary", "--depth", "20", "--pair", "--plain"], 2, "drop --plain or --residual"),
    (["summary", "--depth", "20", "--plain", "--draw", "nowhere/x.svg"], 2, "the folder nowhere does not exist"),
    (["data"], 3, "CIFAR-10 is not in data"),
    (["evaluate"], 2, "Name either a run, such as quick/residual-20-s0, or a file with --weights FILE"),
    (["evaluate", "--weights", "nowhere.pth"], 2, "File not found: nowhere.pth"),
    (["evaluate", "--weights", "."], 2, "is a folder"),
    (["export", "--to", "csv", "--at", "4"], 2, "drop --at or use --to safetensors"),
    (["export", "--to", "safetensors"], 2, "There are no runs in runs"),
    (["frobnicate"], 2, "No such command"),
]


@pytest.mark.parametrize(("arguments", "code", "sentence"), BAD_INPUT, ids=[" ".join(each[0]) for each in BAD_INPUT])
def test_bad_input_gets_one_sentence_the_exit_code_and_writes_nothing(cli, arguments, code, sentence):
    answer = cli(*arguments)
    assert answer.code == code
    assert sentence in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert list(Path().iterdir()) == []


def test_several_errors_are_reported_together(cli):
    answer = cli("train", "--depth", "21", "--set", "recipe.lr=fast", "--set", "data.x=1")
    assert answer.code == 2
    for sentence in ("Depth 21", "--plain or --residual", "--set: recipe.lr", "--set: data.x is not a setting"):
        assert sentence in answer.err


def test_empty_data_folder_exits_with_3(cli):
    Path("data").mkdir()
    for arguments in (["data"], ["train", "--depth", "8", "--plain"], ["sweep", "paper"]):
        answer = cli(*arguments)
        assert answer.code == 3
        assert "CIFAR-10 is not in data" in answer.err
    assert list(Path("data").iterdir()) == []


def test_finished_run_needs_no_data(cli):
    folder = RunFolder(Path("runs/paper/plain-8-s0"))
    folder.create(load_study("paper").run(kind="plain", depth=8))
    folder.append_event("finished", 64_000)
    answer = cli("train", "--config", "paper", "--depth", "8", "--plain")
    assert answer.code == 0
    assert "is finished at step 64,000" in answer.err


def test_name_too_long_for_the_file_system_exits_with_2(cli):
    for arguments in (["compare", "x" * 300], ["train", "--config", "smoke", "--depth", "8", "--plain", "--study", "x" * 300]):
        answer = cli(*arguments)
        assert answer.code == 2
        assert len(answer.err.splitlines()) == 1


def test_corrupt_data_file_is_named_and_exits_with_3(cli, tmp_path):
    fake_cifar10(tmp_path / "data")
    for arguments in (["data"], ["train", "--depth", "8", "--plain"], ["sweep", "paper"]):
        answer = cli(*arguments)
        assert answer.code == 3
        assert "data_batch_1: wrong md5" in answer.err
    assert not Path("runs").exists()


def test_runs_folder_that_cannot_be_written_exits_with_74(cli):
    Path("file").write_text("in the way")
    for arguments in (["train", "--depth", "8", "--plain"], ["sweep"]):
        answer = cli(*arguments, *(["--config", "smoke"] if arguments[0] == "train" else ["smoke"]), "--runs", "file")
        assert answer.code == 74
        assert "another folder with --runs" in answer.err


def test_run_folder_of_another_configuration_is_refused(cli):
    RunFolder(Path("runs/smoke/plain-8-s0")).create(tiny())
    answer = cli("train", "--config", "smoke", "--depth", "8", "--plain")
    assert answer.code == 2
    assert "holds a run with another config" in answer.err
    assert "--study NAME" in answer.err


def test_steps_lr_and_batch_size_are_short_for_settings(cli):
    options = ["--config", "smoke", "--depth", 8, "--plain", "--set", "log.every=2", "--steps", "2 epochs", "--lr", 0.02]
    assert cli("train", *options, "--batch-size", 400).code == 0
    recipe = RunFolder(Path("runs/smoke/plain-8-s0")).config().recipe
    assert (recipe.steps, recipe.lr, recipe.batch_size) == (4, 0.02, 400)


@pytest.mark.parametrize("steps", [20, 60])
def test_a_finished_run_is_not_continued_to_another_number_of_steps(cli, steps):
    folder = RunFolder(Path("runs/smoke/plain-8-s0"))
    folder.create(load_study("smoke", ["compute.compile=false"]).run(kind="plain", depth=8))
    folder.append_event("finished", 30)
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    for command in (["train", "--config", "smoke", "--depth", 8, "--plain"], ["sweep", "smoke", "--set", "sweep.depths=[8]"]):
        more = ["--steps", steps] if command[0] == "train" else ["--set", f"recipe.steps={steps}"]
        answer = cli(*command, *more, "--no-compile")
        assert answer.code == 2
        assert f"recipe.steps is 30, not {steps}" in answer.err
        assert "A run is not continued beyond its recipe: the number of steps is part of its identity" in answer.err
        assert "Use --study NAME to keep both, or delete that one with `resnet-lab runs rm`." in answer.err
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_run_locked_by_another_process_exits_with_75(cli):
    folder = RunFolder(Path("runs/smoke/plain-8-s0"))
    folder.path.mkdir(parents=True)
    with FileLock(folder.path / ".lock"):
        answer = cli("train", "--config", "smoke", "--depth", "8", "--plain")
    assert answer.code == 75
    assert "Another process is working on" in answer.err


def test_diverged_run_exits_with_4_and_unreadable_checkpoints_with_6(cli):
    folder = RunFolder(Path("runs/x/residual-8-s0"))
    folder.create(tiny(recipe__lr=1e30, recipe__schedule={"name": "milestones"}))
    assert cli("train", "--run", folder.path).code == 4
    assert cli("train", "--run", folder.path).code == 4
    assert ": diverged at step" in cli("compare", "x").err
    lost = RunFolder(Path("runs/y/residual-8-s0"))
    lost.create(tiny())
    lost.checkpoints.mkdir()
    (lost.checkpoints / "step-00000010.pt").write_bytes(b"torn")
    answer = cli("train", "--run", lost.path)
    assert answer.code == 6
    assert "No checkpoint" in answer.err


@pytest.mark.cifar10
def test_data_describes_the_real_cifar10(cli, cifar10, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_DATA", str(cifar10))
    values = json.loads(cli("data", "--json").out)
    assert (values["train_images"], values["test_images"], values["classes"][6]) == (50_000, 10_000, "frog")
    assert "all MD5 checksums match" in cli("data").out
