"""Names, settings, weights and records from elsewhere: nothing in them runs or writes outside, and each is one clear sentence."""

import json
import os
import pickle
import struct
import zipfile

import pytest
import torch

from resnet_lab.record.files import append_line
from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run import experiment
from tests.builders import tiny, write_config
from tests.reliability.listing import listing

MARKUP = "<script>alert(1)</script>[bold red]*a*_b_`c`[d](javascript:e)\x1b[31m\u202e"
NAMES = {
    "above": "../elsewhere",
    "far above": "a/../../../elsewhere",
    "absolute": "/tmp/resnet-lab-elsewhere",
    "300 characters": "a" * 300,
    "300 bytes": "\N{SNOWMAN}" * 100,
    "a control character": "\x1b[31mred",
    "a new line": "first\nsecond",
    "a surrogate": "\udcff",
    "an override": "abc\u202etxt",
}


def one_sentence(answer, code):
    """Check that a command has ended with this code and one line, in which nothing acts."""
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert len(answer.err.replace("first\nsecond", "").splitlines()) == 1  # a path is shown as it was given
    assert answer.err.startswith("Error: ")
    assert len(answer.err) < 1000
    assert "\x1b" not in answer.err


@pytest.mark.parametrize("what", NAMES)
def test_a_name_that_is_none_of_a_folder_makes_none(what, tmp_path, cli, figure):
    name = NAMES[what]
    config = write_config(tmp_path / "mine.toml")
    before = listing(tmp_path.parent)
    for words in (["train", "--config", config, "--plain", "--depth", 8], ["sweep", config], ["sweep", config, "--dry-run"]):
        one_sentence(cli(*words, "--study", name), 2)
    for words in (["compare", name], ["report", name], ["export", name, "--to", "csv"], ["runs", name], ["evaluate", name]):
        one_sentence(cli(*words), 2)
    for words in (["analyze", "responses", name], ["evaluate", f"{name}/plain-8-s0"], ["train", "--run", name]):
        one_sentence(cli(*words), 2)
    for words in (["evaluate", "--weights", name], ["train", "--config", f"{name}.toml", "--plain", "--depth", 8]):
        one_sentence(cli(*words), 2)
    assert listing(tmp_path.parent) == before
    assert not os.path.exists("/tmp/resnet-lab-elsewhere")
    figure("11", f"study, run, config and weights named: {what}", "exit 2, one sentence, nothing written")


def test_a_name_full_of_markup_is_a_name(tmp_path, cli):
    config = write_config(tmp_path / "mine.toml", recipe__steps=1)
    name = "[bold red]{x}$(touch executed);`touch executed`&*?<b>'\""
    answer = cli("train", "--config", config, "--plain", "--depth", 8, "--study", name, "--no-forecast")
    assert answer.code == 0, answer.err
    assert name in answer.err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
    assert not os.path.exists("executed")


CONFIGS = {
    "nesting without end": "x = " + "[" * 100_000,
    "a number without end": "seed = " + "1" * 10_000,
    "a number without end in hexadecimal": "seed = 0x" + "f" * 10_000,
    "a text without end": f'[recipe]\nlr = "{"x" * 1_000_000}"',
    "a key without end": f"{'x' * 1_000_000} = 1",
    "a key that acts": '"[bold red]\\u001b[31m\\na" = 1',
    "markup for a number": '[recipe]\nlr = "[bold red]\\u001b[31m\\na"',
    "no text": "\udcff\udcfe",
    "a section for a number": "[recipe.lr]\nx = 1",
    "a width without end": f"[model]\nwidth = {10**24}",
    "images without end": f"[data]\ndataset = 'synthetic'\ntrain_images = {10**24}",
    "numbers that are none": "[recipe]\nlr = nan",
    "a path for a data set": '[data]\ndataset = "../../etc/passwd"',
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_hostile_config_is_one_sentence(what, tmp_path, cli, figure):
    (tmp_path / "mine.toml").write_text(CONFIGS[what], errors="surrogateescape")
    before = listing(tmp_path)
    for words in (["train", "--config", "./mine.toml", "--plain", "--depth", 8], ["sweep", "./mine.toml"]):
        answer = cli(*words)
        assert answer.code == 2, answer.err
        assert answer.err.startswith("Error: ")
        assert len(answer.err) < 2000
        assert "\x1b" not in answer.err
    assert listing(tmp_path) == before
    figure("11", f"config: {what}", "exit 2, a sentence a problem")


@pytest.mark.parametrize("setting", ["model.depth=6000000002", "data.num_classes=99999999999", "recipe.batch_size=99999999999"])
def test_a_setting_without_end_is_refused_before_anything_is_built(setting, cli):
    one_sentence(cli("train", "--config", "smoke", "--plain", "--set", "model.depth=8", "--set", setting), 2)


class Hostile:
    """Writes a file when it is unpickled by a trusting reader."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def safetensors(header, content=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


WEIGHTS = {
    "a pickle that calls": pickle.dumps(Hostile()),
    "an old pickle that calls": b"cos\nsystem\n(S'touch executed'\ntR.",
    "markup for a name": safetensors({MARKUP: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "tensors without values": safetensors({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
    "a head without end": struct.pack("<Q", 2**62) + b"{",
    "foreign metadata": safetensors({"__metadata__": {"writer": "resnet-lab", "run": MARKUP, "step": "x"}}),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_a_hostile_file_of_weights_is_one_sentence(what, tmp_path, cli, figure):
    (tmp_path / "w").write_bytes(WEIGHTS[what])
    before = listing(tmp_path)
    one_sentence(cli("evaluate", "--weights", "w"), 2 if what == "markup for a name" else 3)
    assert listing(tmp_path) == before
    figure("11", f"weights: {what}", "not executed, one sentence")


def test_a_torch_file_that_would_fill_the_memory_is_not_expanded(tmp_path, cli, monkeypatch):
    torch.save({"a": torch.zeros(2_000_000)}, "plain.pt")
    with zipfile.ZipFile("plain.pt") as plain, zipfile.ZipFile("w", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    monkeypatch.setattr(torch, "load", None)
    one_sentence(cli("evaluate", "--weights", "w"), 3)


def hostile_study(path):
    """A study whose every file says something hostile, beside two runs that are good."""
    for kind in ("plain", "residual"):
        for depth in (8, 14):
            folder = RunFolder(path / f"{kind}-{depth}-s0")
            folder.create(tiny(model={"kind": kind, "depth": depth, "width": 4}))
            folder.append(TrainRecord(30, 0.5, 1.0, 0.05, 160, 1.0))
            folder.append(EvalRecord(30, 0.4, 1.0, 30, 0.4, 1.0, 0.5, 1.0, 1.0))
            folder.append_event("started", 0, parameters=1000)
            folder.append_event("resumed", 3, changed={MARKUP: {MARKUP: MARKUP}}, skipped=[MARKUP])
            folder.append_event(MARKUP, 3, file="../../../outside")
            folder.append_event("finished", 30, reason=MARKUP)
    for line in (json.dumps({"type": "train", "step": 10**400}), "[" * 100_000, json.dumps({"type": MARKUP})):
        append_line(folder.path / "metrics.jsonl", f"{line}\n")
    environment = {"versions": {MARKUP: MARKUP}, "device": MARKUP, "threads": MARKUP, "data": {MARKUP: "../../outside"}}
    (folder.path / "environment.json").write_text(json.dumps(environment))
    folder.make_analysis()
    for number, content in enumerate(
        [
            {"analysis": "../../outside", "step": 1},
            {"analysis": "responses", "step": 10**30, MARKUP: 1},
            {"analysis": "responses", "step": 30, "layers": [{"name": MARKUP}]},
            [[[[]]]],
        ]
    ):
        (folder.analysis / f"{number}.json").write_text(json.dumps(content))
    (folder.analysis / "nested.json").write_text("[" * 100_000)
    bad = path / f"{MARKUP.replace('/', '')}-s0"
    bad.mkdir()
    (bad / "config.json").write_text(json.dumps({"model": {"kind": MARKUP}, MARKUP: "../../outside"}))


def test_records_and_results_of_others_do_nothing_but_stand_there(tmp_path, cli, figure):
    path = tmp_path / "runs" / "[bold red]<b>"
    hostile_study(path)
    before = listing(tmp_path, leave_out=path)
    for words in (["compare", path], ["report", path], ["runs", path], ["export", path, "--to", "csv"]):
        answer = cli(*words)
        assert answer.code == 0, answer.err
        assert "\x1b" not in answer.out + answer.err
    page = (path / "report" / "index.html").read_text()
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    for file in (path / "report").iterdir():
        assert b"\x1b" not in file.read_bytes()
    assert listing(tmp_path, leave_out=path) == before
    figure("11", "a study with hostile records, events, results, names and environment", "all commands end well, nothing acts")


@pytest.mark.parametrize("linked", ["report", "export", "plain-8-s0/checkpoints", "plain-8-s0/metrics.jsonl", "curves.png"])
def test_a_link_in_a_study_leads_nothing_out_of_it(linked, study, tmp_path, cli, figure):
    (tmp_path / "outside").mkdir()
    target = tmp_path / "outside" / ("file" if "." in linked else "")
    if "." in linked:
        target.write_text("mine")
    path = study / linked
    if path.exists():
        path.rename(path.with_name("moved"))
    path.symlink_to(target)
    before = listing(tmp_path)
    for words in (["compare"], ["report"], ["export", "--to", "csv"], ["analyze", "responses", "s"], ["train", "--study", "s"]):
        one_sentence(cli(*words, *(["--plain", "--depth", 20] if words[0] == "train" else [])), 2)
    assert listing(tmp_path) == before
    figure("11", f"a link out of the study for {linked}", "exit 2, one sentence, nothing written")


def test_links_within_a_study_and_to_a_study_are_followed(study, tmp_path, cli):
    (study / "again").symlink_to("plain-8-s0")
    (tmp_path / "elsewhere").mkdir()
    moved = study.rename(tmp_path / "elsewhere" / "s")
    study.symlink_to(moved)
    assert cli("export", "s", "--to", "csv").code == 0


def test_too_little_memory_is_one_sentence(cli, monkeypatch):
    def full(*arguments, **options):
        return torch.empty(2**50)

    monkeypatch.setattr(experiment, "initial_state", full)
    answer = cli("train", "--config", "smoke", "--plain", "--depth", 8, "--no-forecast")
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("Error: There is not enough memory")
