"""Damaged and hostile checkpoints: found before anything is loaded, nothing in them runs, and an older one is used where good."""

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
    for said in run(CONFIG, folder, CPU, measure_speed=False):
        if isinstance(said, Event) and (said.name, said.step) == ("checkpointed", 8):
            break
    return folder.path


@pytest.fixture
def folder(_stopped, tmp_path):
    """A run that was killed at step 8, with checkpoints of steps 4 and 8."""
    return RunFolder(shutil.copytree(_stopped, tmp_path / "runs" / "s" / CONFIG.name))


def put(folder, name, content):
    """Replace a checkpoint, with its sha256 in the manifest."""
    (folder.checkpoints / name).write_bytes(content)
    manifest = folder.checkpoints / "manifest.json"
    listed = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(listed | {name: {"sha256": hashlib.sha256(content).hexdigest()}}))


def damaged(source, content):
    """The bytes with one bit flipped."""
    changed = bytearray(content)
    changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def going_on(folder):
    """The first event of the run when it is started again."""
    going = run(CONFIG, folder, CPU, measure_speed=False)
    first = next(said for said in going if isinstance(said, Event))
    going.close()
    return first


def test_every_flipped_bit_and_truncation_is_found_before_anything_is_loaded(folder, monkeypatch, figure):
    source, newest = random.Random(0), folder.checkpoints / NEWEST
    whole = newest.read_bytes()
    cases = [damaged(source, whole) for _ in range(200)]
    cases += [whole[: source.randrange(len(whole))] for _ in range(20)]
    loaded = []
    monkeypatch.setattr(checkpoint, "load_tensors", lambda content: loaded.append(content) or {"step": 4})
    older = (folder.checkpoints / OLDER).read_bytes()
    for content in cases:
        newest.write_bytes(content)
        state, faults = checkpoint.load_newest(folder)
        assert state == {"step": 4}
        assert faults == [f"{NEWEST} is damaged (its sha256 differs)"]
    assert loaded == [older] * 220
    figure("4", "200 flipped bits and 20 truncations of the newest checkpoint", "220 of 220 found before loading, the older used")


def test_a_run_goes_on_from_the_older_checkpoint_and_an_event_says_so(folder, figure):
    source, newest = random.Random(1), folder.checkpoints / NEWEST
    whole = newest.read_bytes()
    cases = times(2, 20)
    for case in range(cases):
        newest.write_bytes(damaged(source, whole) if case % 2 else whole[: source.randrange(len(whole))])
        event = going_on(folder)
        assert (event.name, event.step) == ("resumed", 4)
        assert event.detail["skipped"] == [f"{NEWEST} is damaged (its sha256 differs)"]
        assert folder.events()[-1] == event
    figure("4", f"resumed {cases} times with a damaged newest checkpoint", f"{cases} of {cases} from the older, told in an event")


@pytest.mark.parametrize("what", ["checkpoints", "manifest"])
def test_where_all_are_bad_the_exit_code_is_6_and_nothing_is_overwritten(what, folder, cli, figure):
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
    figure("4", f"all checkpoints unusable ({what})", "exit 6, nothing overwritten")


class Hostile:
    """Writes a file when it is unpickled by a trusting reader."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def compressed(value):
    """A torch file whose parts are deflated, which torch would expand."""
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
    "a pickle that calls": lambda state: pickle.dumps(Hostile()),
    "a torch file that calls": lambda state: saved(state | {"more": Hostile()}),
    "no file of torch": lambda state: b"PK\x03\x04" + bytes(100),
    "nothing": lambda state: b"",
    "a bomb": lambda state: compressed(state | {"more": torch.zeros(5_000_000)}),
    "a text": lambda state: saved("step-00000008.pt is good"),
    "another step": lambda state: saved(state | {"step": 4}),
    "a step of two numbers": lambda state: saved(state | {"step": torch.ones(2)}),
    "no network": lambda state: saved({"step": 8}),
    "a text as a network": lambda state: saved(state | {"net": "all of it"}),
    "another name": lambda state: saved(state | {"net": state["net"] | {"more": torch.zeros(1)}}),
    "another shape": lambda state: saved(with_net(state, torch.zeros(11))),
    "another type": lambda state: saved(with_net(state, torch.zeros(10, dtype=torch.int32))),
    "a tensor without values": lambda state: saved(with_net(state, torch.zeros(10, device="meta"))),
    "a sparse tensor": lambda state: saved(with_net(state, torch.zeros(10).to_sparse())),
}
HOSTILE_IN_TRAINING = {
    "no optimiser": lambda state: saved({key: value for key, value in state.items() if key != "optimizer"}),
    "a list as an optimiser": lambda state: saved(state | {"optimizer": [1]}),
    "another momentum": lambda state: saved(with_momentum(state, torch.zeros(1))),
    "a text as momentum": lambda state: saved(with_momentum(state, "0")),
    "a schedule of texts": lambda state: saved(state | {"schedule": dict.fromkeys(state["schedule"], "1")}),
    "a negative count": lambda state: saved(state | {"log": state["log"] | {"images": -16}}),
    "a schedule with more": lambda state: saved(state | {"schedule": state["schedule"] | {"more": 1}}),
}


@pytest.mark.parametrize("what", HOSTILE | HOSTILE_IN_TRAINING)
def test_a_hostile_checkpoint_with_a_fitting_sha256_is_left_out(what, folder, figure):
    state = checkpoint.load(folder, 8)
    put(folder, NEWEST, (HOSTILE | HOSTILE_IN_TRAINING)[what](state))
    if what in HOSTILE:
        assert load_trained([folder], None, CPU)[0].step == 4
        with pytest.raises(CheckpointError, match=NEWEST):
            load_trained([folder], 8, CPU)
    event = going_on(folder)
    assert (event.name, event.step) == ("resumed", 4)
    assert len(event.detail["skipped"]) == 1
    assert event.detail["skipped"][0].startswith(NEWEST)
    assert "\n" not in event.detail["skipped"][0]
    assert not os.path.exists("executed")
    figure("11", f"checkpoint with a fitting sha256: {what}", "not executed, the older used")


@pytest.mark.parametrize("what", ["a pickle that calls", "another shape"])
def test_hostile_checkpoints_alone_are_one_sentence_and_exit_6(what, folder, cli, figure):
    for step, name in ((4, OLDER), (8, NEWEST)):
        put(folder, name, HOSTILE[what](checkpoint.load(folder, step)))
    before = listing(folder.path)
    for words in (["evaluate", folder.path], ["evaluate", folder.path, "--at", "8"], ["train", "--run", folder.path]):
        answer = cli(*words)
        assert answer.code == 6, answer.err
        assert len(answer.err.splitlines()) == 1
        assert NEWEST in answer.err
    assert cli("export", folder.path, "--to", "safetensors").code == 6
    assert listing(folder.path) == before
    assert not os.path.exists("executed")
    figure("11", f"nothing but hostile checkpoints: {what}", "exit 6, one sentence, nothing executed or overwritten")


def test_a_hostile_manifest_names_no_file_outside(folder):
    manifest = folder.checkpoints / "manifest.json"
    outside = folder.path / "outside.pt"
    outside.write_bytes(saved({"step": 9}))
    listed = json.loads(manifest.read_text())
    for name in ("../outside.pt", str(outside), "step-x.pt", "step-00000009.pt/../../outside.pt"):
        listed[name] = {"sha256": hashlib.sha256(outside.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(listed | {"step-00000010.pt": 3, "step-00000011.pt": {"sha256": ["x"]}}))
    assert checkpoint.steps(folder) == [4, 8, 11]
    assert load_trained([folder], None, CPU)[0].step == 8
    os.mkfifo(folder.checkpoints / "step-00000011.pt")  # and a pipe is not read, which would never end
    assert load_trained([folder], None, CPU)[0].step == 8


@pytest.mark.parametrize("kind", KINDS)
def test_momentum_is_taken_in_the_memory_format_of_its_parameter(kind):
    """A run may go on in another memory format, as on another device; a fused optimiser takes numbers as they lie in memory."""
    config = tiny(model={"kind": kind, "depth": 8, "width": 4})
    formats = (torch.contiguous_format, torch.channels_last)
    states = [
        new_state(build(config.model, 0).double().to(memory_format=each), config.recipe, config.model.depth) for each in formats
    ]
    images, labels = random_batch()
    for _ in range(2):
        update(states[0], (images.double(), labels), 0.05, "fp32")
    states[1].load_state_dict(states[0].state_dict())
    for state in states:
        update(state, (images.double(), labels), 0.05, "fp32")
    for own, other in zip(*(state.net.parameters() for state in states), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)
