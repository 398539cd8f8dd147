"""Malicious names, settings, weights and records: refused with one sentence, nothing executed or written outside."""

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
    "parent folder": "../elsewhere",
    "parent of the runs folder": "a/../../../elsewhere",
    "absolute": "/tmp/resnet-lab-elsewhere",
    "300 characters": "a" * 300,
    "300 bytes": "\N{SNOWMAN}" * 100,
    "a control character": "\x1b[31mred",
    "a line break": "first\nsecond",
    "a surrogate": "\udcff",
    "a bidirectional control": "abc\u202etxt",
}


def assert_one_sentence(answer, code):
    """Check that a command has ended with this exit code and one line without control characters."""
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert len(answer.err.replace("first\nsecond", "").splitlines()) == 1  # messages show a path as it was given
    assert answer.err.startswith("Error: ")
    assert len(answer.err) < 1000
    assert "\x1b" not in answer.err


@pytest.mark.parametrize("what", NAMES)
def test_invalid_names_create_no_folder(what, tmp_path, cli, figure):
    name = NAMES[what]
    config = write_config(tmp_path / "mine.toml")
    before = listing(tmp_path.parent)
    for words in (["train", "--config", config, "--plain", "--depth", 8], ["sweep", config], ["sweep", config, "--dry-run"]):
        assert_one_sentence(cli(*words, "--study", name), 2)
    for words in (["compare", name], ["report", name], ["export", name, "--to", "csv"], ["runs", name], ["evaluate", name]):
        assert_one_sentence(cli(*words), 2)
    for words in (["analyze", "responses", name], ["evaluate", f"{name}/plain-8-s0"], ["train", "--run", name]):
        assert_one_sentence(cli(*words), 2)
    for words in (["evaluate", "--weights", name], ["train", "--config", f"{name}.toml", "--plain", "--depth", 8]):
        assert_one_sentence(cli(*words), 2)
    assert listing(tmp_path.parent) == before
    assert not os.path.exists("/tmp/resnet-lab-elsewhere")
    figure("11", f"study, run, config and weights named: {what}", "exit 2, one sentence, nothing written")


def test_markup_in_a_study_name_has_no_effect(tmp_path, cli):
    config = write_config(tmp_path / "mine.toml", recipe__steps=1)
    name = "[bold red]{x}$(touch executed);`touch executed`&*?<b>'\""
    answer = cli("train", "--config", config, "--plain", "--depth", 8, "--study", name, "--no-forecast")
    assert answer.code == 0, answer.err
    assert name in answer.err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
    assert not os.path.exists("executed")


CONFIGS = {
    "endless nesting": "x = " + "[" * 100_000,
    "a number of 10,000 digits": "seed = " + "1" * 10_000,
    "a hexadecimal number of 10,000 digits": "seed = 0x" + "f" * 10_000,
    "a string of a million characters": f'[recipe]\nlr = "{"x" * 1_000_000}"',
    "a key of a million characters": f"{'x' * 1_000_000} = 1",
    "control characters in a key": '"[bold red]\\u001b[31m\\na" = 1',
    "markup as a number": '[recipe]\nlr = "[bold red]\\u001b[31m\\na"',
    "invalid UTF-8": "\udcff\udcfe",
    "a section as a number": "[recipe.lr]\nx = 1",
    "a huge width": f"[model]\nwidth = {10**24}",
    "a huge number of images": f"[data]\ndataset = 'synthetic'\ntrain_images = {10**24}",
    "NaN": "[recipe]\nlr = nan",
    "a path as data set": '[data]\ndataset = "../../etc/passwd"',
}


@pytest.mark.parametrize("what", CONFIGS)
def test_malicious_config_is_refused_with_clear_messages(what, tmp_path, cli, figure):
    (tmp_path / "mine.toml").write_text(CONFIGS[what], errors="surrogateescape")
    before = listing(tmp_path)
    for words in (["train", "--config", "./mine.toml", "--plain", "--depth", 8], ["sweep", "./mine.toml"]):
        answer = cli(*words)
        assert answer.code == 2, answer.err
        assert answer.err.startswith("Error: ")
        assert len(answer.err) < 2000
        assert "\x1b" not in answer.err
    assert listing(tmp_path) == before
    figure("11", f"config: {what}", "exit 2, one sentence per error")


@pytest.mark.parametrize("setting", ["model.depth=6000000002", "data.num_classes=99999999999", "recipe.batch_size=99999999999"])
def test_huge_settings_are_refused_before_a_network_is_built(setting, cli):
    assert_one_sentence(cli("train", "--config", "smoke", "--plain", "--set", "model.depth=8", "--set", setting), 2)


class Hostile:
    """Creates a file if it is unpickled without protection."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def safetensors(header, content=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


WEIGHTS = {
    "a pickle that runs code": pickle.dumps(Hostile()),
    "a pickle of protocol 0 that runs code": b"cos\nsystem\n(S'touch executed'\ntR.",
    "markup as a name": safetensors({MARKUP: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "tensors without data": safetensors({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
    "a huge header": struct.pack("<Q", 2**62) + b"{",
    "foreign metadata": safetensors({"__metadata__": {"writer": "resnet-lab", "run": MARKUP, "step": "x"}}),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_malicious_weights_are_refused_with_one_sentence(what, tmp_path, cli, figure):
    (tmp_path / "w").write_bytes(WEIGHTS[what])
    before = listing(tmp_path)
    assert_one_sentence(cli("evaluate", "--weights", "w"), 2 if what == "markup as a name" else 3)
    assert listing(tmp_path) == before
    figure("11", f"weights: {what}", "not executed, one sentence")


def test_compressed_torch_file_is_not_decompressed(tmp_path, cli, monkeypatch):
    torch.save({"a": torch.zeros(2_000_000)}, "plain.pt")
    with zipfile.ZipFile("plain.pt") as plain, zipfile.ZipFile("w", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    monkeypatch.setattr(torch, "load", None)
    assert_one_sentence(cli("evaluate", "--weights", "w"), 3)


def write_hostile_study(path):
    """Write a study with malicious content in every kind of file, and a run with an invalid config."""
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
    invalid = path / f"{MARKUP.replace('/', '')}-s0"
    invalid.mkdir()
    (invalid / "config.json").write_text(json.dumps({"model": {"kind": MARKUP}, MARKUP: "../../outside"}))


def test_malicious_records_and_results_have_no_effect(tmp_path, cli, figure):
    path = tmp_path / "runs" / "[bold red]<b>"
    write_hostile_study(path)
    before = listing(tmp_path, excluded=path)
    for words in (["compare", path], ["report", path], ["runs", path], ["export", path, "--to", "csv"]):
        answer = cli(*words)
        assert answer.code == 0, answer.err
        assert "\x1b" not in answer.out + answer.err
    page = (path / "report" / "index.html").read_text()
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    for file in (path / "report").iterdir():
        assert b"\x1b" not in file.read_bytes()
    assert listing(tmp_path, excluded=path) == before
    figure("11", "a study with malicious records, events, results, names and environment", "all commands succeed, no effect")


@pytest.mark.parametrize("linked", ["report", "export", "plain-8-s0/checkpoints", "plain-8-s0/metrics.jsonl", "curves.png"])
def test_links_out_of_a_study_are_refused(linked, study, tmp_path, cli, figure):
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
        assert_one_sentence(cli(*words, *(["--plain", "--depth", 20] if words[0] == "train" else [])), 2)
    assert listing(tmp_path) == before
    figure("11", f"a link out of the study for {linked}", "exit 2, one sentence, nothing written")


def test_links_within_a_study_and_to_a_study_are_followed(study, tmp_path, cli):
    (study / "again").symlink_to("plain-8-s0")
    (tmp_path / "elsewhere").mkdir()
    moved = study.rename(tmp_path / "elsewhere" / "s")
    study.symlink_to(moved)
    assert cli("export", "s", "--to", "csv").code == 0


def test_lack_of_memory_is_reported_in_one_sentence(cli, monkeypatch):
    def exhaust_memory(*arguments, **options):
        return torch.empty(2**50)

    monkeypatch.setattr(experiment, "initial_state", exhaust_memory)
    answer = cli("train", "--config", "smoke", "--plain", "--depth", 8, "--no-forecast")
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("Error: There is not enough memory")
