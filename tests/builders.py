"""Builders that tests share: small configs, runs with given errors, networks after a few steps, files of a data set."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from resnet_lab.analysis.subject import subjects
from resnet_lab.config.schema import RunConfig
from resnet_lab.data.batches import Batches
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.images import ImageSet
from resnet_lab.data.load import load
from resnet_lab.models.resnet import build
from resnet_lab.presentation.blocks import Document
from resnet_lab.record.lines import EvalRecord, Event, Record, TrainRecord, ValidationRecord
from resnet_lab.record.store import Run, RunFolder
from resnet_lab.record.study import Study
from resnet_lab.report import document, figures
from resnet_lab.report.illustrations import illustrations
from resnet_lab.run.compute import initial_state
from resnet_lab.run.device import Resources
from resnet_lab.run.experiment import run
from resnet_lab.study.compare import Comparison, compare
from resnet_lab.train.loop import train, update
from resnet_lab.train.state import new_state

ROOT = Path(__file__).parent.parent
COMMANDS = [
    "train", "sweep", "compare", "report", "verify", "evaluate", "export", "runs", "runs rm", "runs import", "summary", "bench",
    "data", "config", "config show", "config schema", "analyze", "analyze responses", "analyze gradients", "analyze identity",
    "analyze correlation", "analyze landscape", "analyze line", "analyze paths",
]  # fmt: skip
CPU = Resources(device="cpu", threads=1)
KINDS = ("plain", "residual")
TINY: dict[str, Any] = {
    "model": {"kind": "residual", "depth": 8, "width": 4},
    "data": {"dataset": "synthetic", "train_images": 100, "validation_images": 20, "test_images": 20},
    "recipe": {"steps": 30, "batch_size": 16, "lr": 0.05, "schedule": {"name": "plateau", "every": 4, "patience": 1}},
    "evaluation": {"every": 7, "train_images": 30},
    "log": {"every": 5},
    "compute": {"compile": False},
}


def settings(**changes: Any) -> dict[str, Any]:
    """TINY with changes at dotted keys, written with `__` for the dot."""
    values: dict[str, Any] = {key: dict(value) for key, value in TINY.items()}
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            values.setdefault(section, {})[key] = value
        else:
            values[section] = value
    return values


def tiny(**changes: Any) -> RunConfig:
    """A config of a network that trains in a tenth of a second."""
    return RunConfig.model_validate(settings(**changes))


def write_config(path: Path, **changes) -> Path:
    """TINY as a TOML file with a sweep over depth 8, plain and residual."""
    values = settings(**changes)
    del values["model"]["kind"], values["model"]["depth"]
    lines = []
    for section, content in values.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {toml(value)}" for key, value in content.items()]
    path.write_text("\n".join([*lines, "[sweep]", "depths = [8]"]) + "\n")
    return path


def toml(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def made_run(
    kind, depth, seed=0, *, train=0.1, test=0.2, state="finished", images=10_000, shortcut="A", parameters=123, **changes
) -> Run:
    """A run that is not on disk, of 30 steps with two evaluations; `train` and `test` are its final errors."""
    model = {"kind": kind, "depth": depth, "width": 4, "shortcut": shortcut}
    config = tiny(**{"model": model, "seed": seed, "data__dataset": "cifar10", **changes})
    evaluations = [
        EvalRecord(15, 0.01, 0.1, 30, None, None, 0.02, 0.1, 1.0),  # better than the last, and never chosen
        EvalRecord(30, train, 0.1, images, None, None, test, 0.1, 1.0),
    ]
    return Run(
        folder=RunFolder(Path(f"runs/s/{config.name}")),
        config=config,
        state=state,
        train=[TrainRecord(30, train + 0.05, 1.0, 0.1, 80, 1.0)],
        validation=[],
        evaluations=evaluations,
        events=[Event("2026-01-01T00:00:00+00:00", "started", 0, {"parameters": parameters})],
        environment={},
    )


def compared(runs, study="s") -> Comparison:
    """The comparison of runs that are not on disk."""
    return compare(Study(Path(study), tuple(runs)))


def four_runs(plain_deep=0.3, residual_deep=0.05, seed=0):
    """Plain and residual runs of depths 20 and 56."""
    return [
        made_run("plain", 20, seed, train=0.2),
        made_run("plain", 56, seed, train=plain_deep, test=0.35),
        made_run("residual", 20, seed, train=0.1),
        made_run("residual", 56, seed, train=residual_deep),
    ]


def document_of(comparison: Comparison) -> Document:
    """The report of a comparison without a folder, so without analyses."""
    drawn = {illustration.stem: figures.on_page(illustration, comparison) for illustration in illustrations(comparison)}
    return document.build(comparison, drawn)


def written_study() -> Path:
    """Two runs of different schedules; one has validation errors, and a check on the step of an evaluation."""
    study = Path("runs/study")
    for kind, changes in (("plain", {}), ("residual", {"recipe__schedule": {"name": "milestones", "milestones": [10, 20]}})):
        config = tiny(model={"kind": kind, "depth": 8, "width": 4}, data__dataset="cifar10", **changes)
        folder = RunFolder(study / config.name)
        folder.create(config)
        folder.append_event("started", 0, parameters=1)
        validation = (0.1 + 0.2, 2 / 3) if kind == "plain" else (None, None)
        for step in (5, 10):
            folder.append(TrainRecord(step, 1 / (3 * step), 1 / 7, 0.05, 80, 3.0))
        if kind == "plain":
            folder.append(ValidationRecord(8, 0.7, 0.8, 0.25))
            folder.append(ValidationRecord(10, 0.1 + 0.2, 2 / 3, 0.25))
        folder.append(EvalRecord(10, 1 / 9, 1 / 11, 30, *validation, 1 / 13, 1 / 17, 0.5))
    folder.append_event("finished", 30)
    return study


def fake_cifar10(root: Path) -> Path:
    """A folder with the right names and wrong bytes."""
    folder = root / CIFAR10.folder
    folder.mkdir(parents=True)
    for name in CIFAR10.files:
        (folder / name).write_bytes(b"not the data")
    return folder


def numbered_images(count: int) -> ImageSet:
    """Images whose first pixel and label are their own number."""
    images = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count) % 256
    return ImageSet(images, torch.arange(count))


def random_batch(num_images=16, seed=0):
    """Images (N, 3, 32, 32) and labels (N,)."""
    source = torch.Generator().manual_seed(seed)
    return torch.randn(num_images, 3, 32, 32, generator=source), torch.randint(0, 10, (num_images,), generator=source)


def trained_network(kind, depth=8, steps=3, **model):
    """A tiny network after a few steps, so that its BN is no longer the identity, and its config."""
    config = tiny(model={"kind": kind, "depth": depth, "width": 4} | model)
    state = new_state(build(config.model, 0), config.recipe, depth)
    for step in range(steps):
        update(state, random_batch(seed=step), 0.05, "fp32")
    return state.net, config


def trained_subject(study, name):
    """What an analysis looks at: the network of a run of the study at its newest checkpoint, and its data."""
    return next(subjects([RunFolder(study / name)], None, CPU))


def copied_state(net):
    """A copy of parameters and buffers."""
    return {name: value.clone() for name, value in net.state_dict().items()}


def same_tensors(left, right):
    """Whether two state dicts are equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def train_in_memory(config):
    """Train without a folder; returns the final state and the training records."""
    data = load(config.data, None, config.seed)
    batches = Batches(data.train, data.mean, config.recipe.batch_size, config.seed)
    return train_on(batches, config, initial_state(config, torch.device("cpu")))


def train_on(batch_at, config, state):
    """Train a state on the batches of `batch_at`; returns it and the training records."""
    updates = train(state, batch_at, config.recipe, log_every=config.log.every, validate=lambda: (0.5, 1.0))
    return state, [record for records in updates for record in records if isinstance(record, TrainRecord)]


def stop_at(step: int, config: RunConfig, folder: RunFolder, resources: Resources = Resources()) -> None:
    """Ask a run to stop once it has yielded a record or an event of this step or a later one; it saves a checkpoint."""
    steps = [0]
    for item in run(config, folder, resources, stop=lambda: steps[-1] >= step):
        steps.append(getattr(item, "step", 0))
    assert folder.read().state == "interrupted"


def kill_at(step: int, config: RunConfig, folder: RunFolder, resources: Resources = Resources()) -> None:
    """Abandon a run where it has yielded a record or an event of this step or a later one; it saves no checkpoint."""
    items = run(config, folder, resources)
    while getattr(next(items), "step", 0) < step:
        pass
    items.close()
    assert folder.read().state == "interrupted"


def records_without_times(folder: RunFolder) -> list[Record]:
    """What a run has recorded, but for the seconds that it took."""
    return [dataclasses.replace(record, seconds=0.0) for record in folder.records()]
