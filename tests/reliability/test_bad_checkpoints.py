"""Damaged and malicious checkpoints: detected before loading, never executed, and replaced by an older intact one."""

import hashlib
import io
import json
import os
import pickle
import random
import shutil
import zipfile

import pytest
import torch

from resnet_lab.errors import CheckpointError
from resnet_lab.models.resnet import build
from resnet_lab.record import checkpoint
from resnet_lab.record.lines import Event
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from resnet_lab.run.trained import load_trained
from resnet_lab.train.loop import update
from resnet_lab.train.state import new_state
from tests.builders import CPU, KINDS, random_batch, tiny
from tests.reliability.listing import listing
from tests.reliability.scale import times

CONFIG = tiny(log__keep=[4, 8], recipe__steps=12)
OLDER, NEWEST = "step-00000004.pt", "step-00000008.pt"


@pytest.fixture(scope="module")
def _stopped(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "s" / CONFIG.name)
    for item in run(CONFIG, folder, CPU, measure_speed=False):
        if isinstance(item, Event) and (item.name, item.step) == ("checkpointed", 8):
            break
    return folder.path


@pytest.fixture
def folder(_stopped, tmp_path):
    """A run that was killed at step 8, with checkpoints at steps 4 and 8."""
    return RunFolder(shutil.copytree(_stopped, tmp_path / "runs" / "s" / CONFIG.name))


def replace(folder, name, content):
    """Replace a checkpoint and its sha256 in the manifest."""
    (folder.checkpoints / name).write_bytes(content)
    manifest = folder.checkpoints / "manifest.json"
    listed = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(listed | {name: {"sha256": hashlib.sha256(content).hexdigest()}}))


def with_flipped_bit(generator, content):
    """The content with one random bit flipped."""
    changed = bytearray(content)
    changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def resume(folder):
    """Start the run again, and return its first event."""
    progress = run(CONFIG, folder, CPU, measure_speed=False)
    first = next(item for item in progress if isinstance(item, Event))
    progress.close()
    return first


def test_flipped_bits_and_truncations_are_detected_before_loading(folder, monkeypatch, figure):
    generator, newest = random.Random(0), folder.checkpoints / NEWEST
    whole = newest.read_bytes()
    cases = [with_flipped_bit(generator, whole) for _ in range(200)]
    cases += [whole[: generator.randrange(len(whole))] for _ in range(20)]
    loaded = []
    monkeypatch.setattr(checkpoint, "load_tensors", lambda content: loaded.append(content) or {"step": 4})
    older = (folder.checkpoints / OLDER).read_bytes()
    for content in cases:
        newest.write_bytes(content)
        state, faults = checkpoint.load_newest(folder)
        assert state == {"step": 4}
        assert faults == [f"{NEWEST} is damaged (its sha256 differs)"]
    assert loaded == [older] * 220
    figure(
        "4",
        "200 flipped bits and 20 truncations of the newest checkpoint",
        "220 of 220 detected before loading; the older checkpoint used",
    )


def test_run_resumes_from_the_older_checkpoint_and_records_an_event(folder, figure):
    generator, newest = random.Random(1), folder.checkpoints / NEWEST
    whole = newest.read_bytes()
    cases = times(2, 20)
    for case in range(cases):
        newest.write_bytes(with_flipped_bit(generator, whole) if case % 2 else whole[: generator.randrange(len(whole))])
        event = resume(folder)
        assert (event.name, event.step) == ("resumed", 4)
        assert event.detail["skipped"] == [f"{NEWEST} is damaged (its sha256 differs)"]
        assert folder.events()[-1] == event
    figure(
        "4",
        f"resumed {cases} times with a damaged newest checkpoint",
        f"{cases} of {cases} resumed from the older one and recorded it in an event",
    )


@pytest.mark.parametrize("what", ["checkpoints", "manifest"])
def test_only_damaged_checkpoints_exit_with_6_and_nothing_is_overwritten(what, folder, cli, figure):
    bad = [folder.checkpoints / name for name in ((OLDER, NEWEST) if what == "checkpoints" else ("manifest.json",))]
    for path in bad:
        path.write_bytes(path.read_bytes()[:-9])
    before = listing(folder.path)
    for words in (["train", "--run", folder.path, "--no-forecast"], ["evaluate", folder.path]):
        answer = cli(*words)
        assert answer.code == 6, answer.err
        assert answer.err.startswith("Error: No checkpoint in ")
        assert len(answer.err.splitlines()) == 1
    assert listing(folder.path) == before
    figure("4", f"no usable checkpoint ({what} damaged)", "exit 6, nothing overwritten")


class Hostile:
    """Creates a file if it is unpickled without protection."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def compressed(value):
    """A torch file with compressed parts, which torch would decompress."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(value))) as plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    return packed.getvalue()


def with_net(state, value):
    return state | {"net": state["net"] | {"head.bias": value}}


def with_momentum(state, value):
    moments = {**state["optimizer"]["state"], 0: {"momentum_buffer": value}}
    return state | {"optimizer": state["optimizer"] | {"state": moments}}


HOSTILE = {
    "a pickle that runs code": lambda state: pickle.dumps(Hostile()),
    "a torch file that runs code": lambda state: saved(state | {"more": Hostile()}),
    "not a torch file": lambda state: b"PK\x03\x04" + bytes(100),
    "an empty file": lambda state: b"",
    "a zip bomb": lambda state: compressed(state | {"more": torch.zeros(5_000_000)}),
    "a string": lambda state: saved("step-00000008.pt is good"),
    "another step": lambda state: saved(state | {"step": 4}),
    "a step with two elements": lambda state: saved(state | {"step": torch.ones(2)}),
    "no network": lambda state: saved({"step": 8}),
    "a string as network": lambda state: saved(state | {"net": "all of it"}),
    "another parameter name": lambda state: saved(state | {"net": state["net"] | {"more": torch.zeros(1)}}),
    "another shape": lambda state: saved(with_net(state, torch.zeros(11))),
    "another dtype": lambda state: saved(with_net(state, torch.zeros(10, dtype=torch.int32))),
    "a meta tensor": lambda state: saved(with_net(state, torch.zeros(10, device="meta"))),
    "a sparse tensor": lambda state: saved(with_net(state, torch.zeros(10).to_sparse())),
}
HOSTILE_IN_TRAINING = {
    "no optimiser": lambda state: saved({key: value for key, value in state.items() if key != "optimizer"}),
    "a list as optimiser": lambda state: saved(state | {"optimizer": [1]}),
    "momentum of another shape": lambda state: saved(with_momentum(state, torch.zeros(1))),
    "a string as momentum": lambda state: saved(with_momentum(state, "0")),
    "a schedule of strings": lambda state: saved(state | {"schedule": dict.fromkeys(state["schedule"], "1")}),
    "a negative count": lambda state: saved(state | {"log": state["log"] | {"images": -16}}),
    "a schedule with another key": lambda state: saved(state | {"schedule": state["schedule"] | {"more": 1}}),
}


@pytest.mark.parametrize("what", HOSTILE | HOSTILE_IN_TRAINING)
def test_malicious_checkpoint_with_a_matching_sha256_is_skipped(what, folder, figure):
    state = checkpoint.load(folder, 8)
    replace(folder, NEWEST, (HOSTILE | HOSTILE_IN_TRAINING)[what](state))
    if what in HOSTILE:
        assert load_trained([folder], None, CPU)[0].step == 4
        with pytest.raises(CheckpointError, match=NEWEST):
            load_trained([folder], 8, CPU)
    event = resume(folder)
    assert (event.name, event.step) == ("resumed", 4)
    assert len(event.detail["skipped"]) == 1
    assert event.detail["skipped"][0].startswith(NEWEST)
    assert "\n" not in event.detail["skipped"][0]
    assert not os.path.exists("executed")
    figure("11", f"checkpoint with a matching sha256: {what}", "not executed; the older checkpoint used")


@pytest.mark.parametrize("what", ["a pickle that runs code", "another shape"])
def test_only_malicious_checkpoints_exit_with_6_and_one_sentence(what, folder, cli, figure):
    for step, name in ((4, OLDER), (8, NEWEST)):
        replace(folder, name, HOSTILE[what](checkpoint.load(folder, step)))
    before = listing(folder.path)
    for words in (["evaluate", folder.path], ["evaluate", folder.path, "--at", "8"], ["train", "--run", folder.path]):
        answer = cli(*words)
        assert answer.code == 6, answer.err
        assert len(answer.err.splitlines()) == 1
        assert NEWEST in answer.err
    assert cli("export", folder.path, "--to", "safetensors").code == 6
    assert listing(folder.path) == before
    assert not os.path.exists("executed")
    figure("11", f"only malicious checkpoints: {what}", "exit 6, one sentence, nothing executed or overwritten")


def test_manifest_cannot_name_files_outside_its_folder(folder):
    manifest = folder.checkpoints / "manifest.json"
    outside = folder.path / "outside.pt"
    outside.write_bytes(saved({"step": 9}))
    listed = json.loads(manifest.read_text())
    for name in ("../outside.pt", str(outside), "step-x.pt", "step-00000009.pt/../../outside.pt"):
        listed[name] = {"sha256": hashlib.sha256(outside.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(listed | {"step-00000010.pt": 3, "step-00000011.pt": {"sha256": ["x"]}}))
    assert checkpoint.steps(folder) == [4, 8, 11]
    assert load_trained([folder], None, CPU)[0].step == 8
    os.mkfifo(folder.checkpoints / "step-00000011.pt")  # reading a pipe would block
    assert load_trained([folder], None, CPU)[0].step == 8


@pytest.mark.parametrize("kind", KINDS)
def test_momentum_is_restored_in_the_memory_format_of_its_parameter(kind):
    """A run may resume in another memory format, as on another device; fused optimisers read tensors in memory order."""
    config = tiny(model={"kind": kind, "depth": 8, "width": 4})
    formats = (torch.contiguous_format, torch.channels_last)
    states = [
        new_state(build(config.model, 0).double().to(memory_format=memory_format), config.recipe, config.model.depth)
        for memory_format in formats
    ]
    images, labels = random_batch()
    for _ in range(2):
        update(states[0], (images.double(), labels), 0.05, "fp32")
    states[1].load_state_dict(states[0].state_dict())
    for state in states:
        update(state, (images.double(), labels), 0.05, "fp32")
    for own, other in zip(*(state.net.parameters() for state in states), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)
