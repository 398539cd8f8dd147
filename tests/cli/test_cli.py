"""The command line: its help, its answers, and what bad input gets: one sentence, the exit code, nothing written."""

import json
import re
import signal
from pathlib import Path

import pytest
from filelock import FileLock

from resnet_lab.cli.options import stop_signals
from resnet_lab.config.files import load_study
from resnet_lab.record import store
from resnet_lab.record.store import RunFolder
from tests.builders import COMMANDS, ROOT, fake_cifar10, tiny

README = ROOT / "README.md"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    answer = cli(*command.split(), "--help")
    assert answer.code == 0
    assert "Usage: resnet-lab" in answer.out
    assert len(answer.out.splitlines()) > 5


def test_help_lists_every_command_and_the_readme_shows_it(cli):
    listed = cli("--help").out
    for command in COMMANDS:
        assert command.split()[0] in listed
        assert f"resnet-lab {command.split()[0]}" in README.read_text()


def test_options_are_those_that_are_documented(cli):
    """Frozen: an option that comes, goes or changes its name is a change for users."""
    options = set(re.findall(r"--[a-z-]+", cli("train", "--help").out))
    assert options == {
        "--depth", "--plain", "--residual", "--seed", "--config", "--set", "--compile", "--no-compile", "--study",
        "--runs", "--run", "--data-dir", "--device", "--threads", "--help",
    }  # fmt: skip
    options = set(re.findall(r"--[a-z-]+", cli("sweep", "--help").out))
    assert options == {
        "--set", "--compile", "--no-compile", "--study", "--runs", "--jobs", "--threads", "--data-dir", "--device", "--dry-run",
        "--json", "--help",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_summary_counts(cli, kind):
    answer = cli("summary", "--depth", 56, f"--{kind}", "--json")
    values = json.loads(answer.out)
    assert (values["parameters"], values["multiply_adds"]) == (853_018, 125_485_696)
    assert (values["kind"], values["depth"], len(values["layers"])) == (kind, 56, 56)
    table = cli("summary", "--depth", 20, f"--{kind}").out
    assert "269,722" in table
    assert "40,551,040" in table
    assert "stages.2.2.conv2" in table


def test_summary_of_table_1s_networks(cli):
    answer = cli(
        "summary", "--depth", 50, "--layout", "imagenet", "--block", "bottleneck", "--shortcut", "B", "--residual", "--json"
    )
    values = json.loads(answer.out)
    assert (values["parameters"], values["layout"], values["shortcut"]) == (25_557_032, "imagenet", "B")
    assert values["multiply_adds"] == pytest.approx(3.8e9, abs=0.1e9)
    assert values["activation_bytes"] > values["block_activation_bytes"] > 0
    fewer = json.loads(cli("summary", "--depth", 18, "--layout", "imagenet", "--plain", "--classes", 10, "--json").out)
    assert fewer["layers"][-1]["output_shape"] == [10]


def test_summary_of_a_pair_says_what_differs_and_draws_it(cli):
    values = json.loads(cli("summary", "--depth", 20, "--pair", "--shortcut", "C", "--json").out)
    assert values["differences"]["parameters"] == 283_962 - 269_722
    assert (values["kind"], values["parameters"], values["plain"]["parameters"]) == ("residual", 283_962, 269_722)
    assert set(values["differences"]["shortcuts"].values()) == {"projection"}
    answer = cli("summary", "--depth", 20, "--pair", "--draw", "drawn.svg")
    assert "the shortcuts are the only difference" in answer.err
    assert "zero-padded identity" in answer.out
    drawing = Path("drawn.svg").read_text()
    assert drawing.count("3x3 conv, 16") == 2 * 7
    assert drawing.count("zeros added") == 2
    refused = cli("summary", "--depth", 20, "--plain", "--draw", "drawn.gif")
    assert (refused.code, "ends in .svg, .png or .pdf" in refused.err) == (2, True)


def test_summary_counts_for_the_images_of_the_settings(cli):
    def counted(*arguments):
        values = json.loads(cli("summary", "--residual", *arguments, "--json").out)
        return values["num_classes"], values["image_size"], values["parameters"]

    assert counted("--depth", 20, "--set", "data.dataset=cifar100") == (100, 32, 275_572)
    smaller = ["--set", "data.num_classes=10", "--set", "data.image_size=32"]
    assert counted("--config", "imagenet", "--depth", 34, *smaller) == (10, 32, 21_115_978)
    assert counted("--config", "imagenet", "--depth", 34) == counted("--layout", "imagenet", "--depth", 34)
    assert counted("--layout", "imagenet", "--depth", 34, "--classes", 10) == (10, 224, 21_115_978)
    assert cli("summary", "--depth", 8, "--draw", "both.png").code == 0  # both networks, so no kind need be said


def test_train_compare_report_as_a_user_would(cli):
    for kind in ("plain", "residual"):
        answer = cli("train", "--config", "smoke", "--depth", 8, f"--{kind}", "--threads", 1)
        assert answer.code == 0, answer.err
        assert f"{kind} network of depth 8, 5,006 parameters, 0.85 M multiply-adds" in answer.err
        assert "30 steps at about" in answer.err
        assert "SYNTHETIC STAND-IN, NOT CIFAR-10" in answer.err
    assert "is finished, step 30" in cli("train", "--config", "smoke", "--depth", 8, "--plain").err
    answer = cli("compare")
    assert answer.code == 0
    assert "SYNTHETIC STAND-IN" in answer.err
    assert "only depth 8 of plain nets" in answer.err
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
    listed = json.loads(cli("runs", "--json").out)
    assert [run["state"] for run in listed["studies"][0]["runs"]] == ["finished", "finished"]
    assert "plain-8-s0" in cli("runs").out


def test_an_unfinished_run_is_resumed_by_the_same_command(cli, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "smoke" / "plain-8-s0")
    assert cli("train", "--config", "smoke", "--depth", 8, "--plain").code == 0
    lines = (folder.path / "events.jsonl").read_text().splitlines()
    (folder.path / "events.jsonl").write_text("\n".join(lines[:-1]) + "\n")  # as if it had been killed just before its end
    answer = cli("train", "--config", "smoke", "--depth", 8, "--plain")
    assert "Going on from step 30." in answer.err
    assert folder.read().state == "finished"


def test_config_show_and_schema(cli):
    assert "recipe" in json.loads(cli("config", "schema").out)["properties"]
    shown = cli("config", "show", "paper", "--set", "recipe.steps=1000", "--set", "recipe.schedule.milestones=['50 %']").out
    assert "steps = 1000" in shown
    assert "milestones = [500]" in shown
    Path("again.toml").write_text(shown)
    assert cli("config", "show", "./again.toml").out == shown
    schema = json.loads(cli("config", "schema").out)
    assert not [section for section in (schema, *schema["$defs"].values()) if "required" in section]
    presets = json.loads(cli("config", "show", "--json").out)["presets"].keys()
    assert presets == {"demo", "imagenet", "paper", "plateau", "quick", "shortcuts", "smoke"}


def test_a_hangup_is_ignored_where_nohup_says_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
            signal.raise_signal(signal.SIGTERM)
            assert stop.exit_code == 143
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with stop_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.exit_code == 129
    finally:
        signal.signal(signal.SIGHUP, before)


def test_version(cli):
    assert cli("--version").out.startswith("resnet-lab 0.")


BAD = [
    (["train", "--depth", "57", "--plain"], 2, "Depth 57 is not 6n+2 (n blocks a stage); the nearest valid: 56 and 62."),
    (["train", "--depth", "56"], 2, "say --plain or --residual"),
    (["train", "--plain"], 2, "say --depth N"),
    (["train", "--depth", "56", "--plain", "--config", "papr"], 2, "did you mean 'paper'?"),
    (["train", "--depth", "56", "--plain", "--set", "recipe.stps=1"], 2, "did you mean 'recipe.steps'?"),
    (["train", "--depth", "56", "--plain", "--set", "recipe.steps=-5"], 2, "greater than or equal to 0"),
    (["train", "--depth", "56", "--plain", "--set", "recipe.batch_size=99999"], 2, "larger than the 45000 training images"),
    (["train", "--depth", "56", "--plain", "--config", "paper", "--set", "recipe.steps=100"], 2, "must lie inside the 100 steps"),
    (["train", "--depth", "56", "--plain"], 3, "There is no CIFAR-10 in data: `resnet-lab data --download` fetches it"),
    (["train", "--depth", "56", "--plain", "--data-dir", "nowhere"], 3, "There is no CIFAR-10 in nowhere"),
    (["train", "--depth", "56", "--plain", "--device", "tpu"], 2, "There is no device 'tpu' here; --device takes auto or one of"),
    (["train", "--depth", "56", "--plain", "--study", "../x"], 2, "--study takes a plain folder name"),
    (["train", "--run", "nowhere"], 2, "There is no run in nowhere"),
    (["train", "--run", "nowhere", "--depth", "8"], 2, "leave out --depth"),
    (["train", "--depth", "many"], 2, "Invalid value"),
    (["sweep", "papr"], 2, "did you mean 'paper'?"),
    (["sweep", "paper"], 3, "There is no CIFAR-10"),
    (["sweep", "smoke", "--set", "sweep.depths=[8, 9]"], 2, "Depth 9 is not 6n+2"),
    (["sweep", "smoke", "--jobs", "0"], 2, "--jobs"),
    (["sweep", "smoke", "--set", "sweep.seeds=[-1]"], 2, "--set: seed: input should be greater than or equal to 0"),
    (["summary", "--depth", "8", "--plain", "--set", 'data.dataset=["a"]'], 2, "--set: data.dataset"),
    (["compare"], 2, "There are no runs in runs: start with `resnet-lab sweep demo`"),
    (["compare", "nothing"], 2, "There is no study 'nothing' in runs; there are none yet."),
    (["report"], 2, "There are no runs in runs"),
    (["runs", "nothing"], 2, "There is no study 'nothing'"),
    (["summary", "--depth", "21", "--plain"], 2, "the nearest valid: 20 and 26"),
    (
        ["summary", "--depth", "20", "--plain", "--shortcut", "B"],
        2,
        "--shortcut: model.shortcut: a plain network has no shortcuts",
    ),
    (["summary", "--depth", "20", "--pair", "--plain"], 2, "leave --plain or --residual out"),
    (["summary", "--depth", "20", "--plain", "--draw", "nowhere/x.svg"], 2, "there is no folder nowhere; make it first"),
    (["data"], 3, "There is no CIFAR-10 in data"),
    (["evaluate"], 2, "Name either a run, such as quick/residual-20-s0, or a file with --weights FILE"),
    (["evaluate", "--weights", "nowhere.pth"], 2, "There is no file nowhere.pth"),
    (["evaluate", "--weights", "."], 2, "is a folder"),
    (["export", "--to", "csv", "--at", "4"], 2, "--at names a checkpoint, and --to csv writes records"),
    (["export", "--to", "safetensors"], 2, "There are no runs in runs"),
    (["frobnicate"], 2, "No such command"),
]


@pytest.mark.parametrize(("arguments", "code", "sentence"), BAD, ids=[" ".join(each[0]) for each in BAD])
def test_bad_input_gets_a_sentence_and_its_exit_code_and_writes_nothing(cli, arguments, code, sentence):
    answer = cli(*arguments)
    assert answer.code == code
    assert sentence in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert list(Path().iterdir()) == []


def test_several_errors_are_listed_together(cli):
    answer = cli("train", "--depth", "21", "--set", "recipe.lr=fast", "--set", "data.x=1")
    assert answer.code == 2
    for sentence in ("Depth 21", "--plain or --residual", "--set: recipe.lr", "--set: data.x is not a setting"):
        assert sentence in answer.err


def test_an_empty_data_folder_is_said(cli):
    Path("data").mkdir()
    for arguments in (["data"], ["train", "--depth", "8", "--plain"], ["sweep", "paper"]):
        answer = cli(*arguments)
        assert answer.code == 3
        assert "There is no CIFAR-10 in data" in answer.err
    assert list(Path("data").iterdir()) == []


def test_a_finished_run_needs_no_data(cli):
    folder = RunFolder(Path("runs/paper/plain-8-s0"))
    folder.create(load_study("paper").run(kind="plain", depth=8))
    folder.append_event("finished", 64_000)
    answer = cli("train", "--config", "paper", "--depth", "8", "--plain")
    assert answer.code == 0
    assert "is finished, step 64,000" in answer.err


def test_names_too_long_for_a_file_system_are_no_traceback(cli):
    for arguments in (["compare", "x" * 300], ["train", "--config", "smoke", "--depth", "8", "--plain", "--study", "x" * 300]):
        answer = cli(*arguments)
        assert answer.code == 2
        assert len(answer.err.splitlines()) == 1


def test_a_corrupt_data_folder_is_named(cli, tmp_path):
    fake_cifar10(tmp_path / "data")
    for arguments in (["data"], ["train", "--depth", "8", "--plain"], ["sweep", "paper"]):
        answer = cli(*arguments)
        assert answer.code == 3
        assert "data_batch_1: wrong md5" in answer.err
    assert not Path("runs").exists()


def test_a_runs_folder_that_cannot_be_written_is_exit_74(cli):
    Path("file").write_text("in the way")
    for arguments in (["train", "--depth", "8", "--plain"], ["sweep"]):
        answer = cli(*arguments, *(["--config", "smoke"] if arguments[0] == "train" else ["smoke"]), "--runs", "file")
        assert answer.code == 74
        assert "name another folder with --runs" in answer.err


def test_a_run_of_another_configuration_is_refused(cli):
    RunFolder(Path("runs/smoke/plain-8-s0")).create(tiny())
    answer = cli("train", "--config", "smoke", "--depth", "8", "--plain")
    assert answer.code == 2
    assert "holds a run of another configuration" in answer.err
    assert "--study NAME" in answer.err


def test_a_run_that_another_process_has_is_exit_75(cli, monkeypatch):
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    folder = RunFolder(Path("runs/smoke/plain-8-s0"))
    folder.path.mkdir(parents=True)
    with FileLock(folder.path / ".lock"):
        answer = cli("train", "--config", "smoke", "--depth", "8", "--plain")
    assert answer.code == 75
    assert "Another process is working on" in answer.err


def test_a_diverged_run_is_exit_4_and_lost_checkpoints_are_6(cli):
    folder = RunFolder(Path("runs/x/residual-8-s0"))
    folder.create(tiny(recipe__lr=1e30, recipe__schedule={"name": "milestones"}))
    assert cli("train", "--run", folder.path).code == 4
    assert cli("train", "--run", folder.path).code == 4
    assert "is diverged" in cli("compare", "x").err
    lost = RunFolder(Path("runs/y/residual-8-s0"))
    lost.create(tiny())
    lost.checkpoints.mkdir()
    (lost.checkpoints / "step-00000010.pt").write_bytes(b"torn")
    answer = cli("train", "--run", lost.path)
    assert answer.code == 6
    assert "No checkpoint" in answer.err


@pytest.mark.cifar10
def test_data_describes_the_real_images(cli, cifar10, monkeypatch):
    monkeypatch.setenv("RESNET_LAB_DATA", str(cifar10))
    values = json.loads(cli("data", "--json").out)
    assert (values["train_images"], values["test_images"], values["classes"][6]) == (50_000, 10_000, "frog")
    assert "every md5 as published" in cli("data").out
