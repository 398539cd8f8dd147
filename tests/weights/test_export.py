"""The weights of runs as files for other tools: which files are written, and what the user is warned of."""

import json
from pathlib import Path

import pytest
import torch

from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from tests.builders import CPU, tiny
from tests.weights.networks import read_network


@pytest.mark.parametrize("to", ["torchvision", "safetensors"])
def test_weights_are_exported_for_every_run_or_for_one_at_a_step(cli, study, to):
    ending = {"torchvision": "pth"}.get(to, to)
    names = ("plain-14-s0", "plain-8-s0", "residual-14-s0", "residual-8-s0")
    files = json.loads(cli("export", "--to", to, "--json").out)["files"]
    assert files == [f"runs/s/export/{name}.{ending}" for name in names]
    first = [Path(file).read_bytes() for file in files]
    assert cli("export", "s", "--to", to).code == 0
    assert [Path(file).read_bytes() for file in files] == first
    assert cli("export", "s/plain-8-s0", "--to", to, "--at", 4, "--out", "out").out.strip() == f"out/plain-8-s0-step-4.{ending}"
    stem = read_network(Path(f"out/plain-8-s0-step-4.{ending}"), kind="plain").stem.conv.weight
    saved = torch.load(study / "plain-8-s0/checkpoints/step-00000004.pt", weights_only=True)
    assert torch.equal(stem, saved["net"]["stem.conv.weight"])


def test_runs_without_a_checkpoint_are_named_and_no_export_exits_with_6(cli, study):
    RunFolder(study / "plain-20-s0").create(tiny(model={"kind": "plain", "depth": 20, "width": 4}))
    answer = cli("export", "s", "--to", "safetensors")
    assert (answer.code, len(answer.out.split())) == (0, 4)
    assert "runs/s/plain-20-s0 has no checkpoint yet" in answer.err
    alone = cli("export", "s/plain-20-s0", "--to", "safetensors")
    assert (alone.code, alone.out) == (6, "")
    nowhere = cli("export", "s", "--to", "torchvision", "--at", 3)
    assert nowhere.code == 6
    assert "None of the 5 runs has a checkpoint to export" in nowhere.err
    assert cli("export", "s", "--to", "csv", "--at", 4).code == 2


def test_torchvision_export_warns_where_torchvision_computes_otherwise(cli):
    from resnet_lab.weights.export import Written, cautions

    bottleneck = {"kind": "residual", "layout": "imagenet", "depth": 50, "block": "bottleneck", "shortcut": "B"}
    models = [{"kind": "plain", "depth": 20}, {"kind": "residual", "depth": 20}, bottleneck, bottleneck | {"stride_on": "3x3"}]
    written = [
        Written(Path(f"{n} b.pth"), f"run{n}", tiny(model=model, data={"dataset": "cifar10"})) for n, model in enumerate(models)
    ]
    warnings = list(cautions(written))
    assert warnings[0] == "run0: the file has torchvision's names, but torchvision has no such network (plain, cifar layout)."
    assert "(cifar layout, option A)" in warnings[1]
    assert warnings[2].startswith("run2: torchvision loads this file without an error but computes different outputs")
    assert "`resnet-lab evaluate --weights '0 b.pth' --plain --normalisation per-pixel`" in warnings[3]
    assert len(warnings) == 7  # and a command for each network that needs other options
    assert warnings[4].startswith("run1 and similar runs: the files do not record the normalisation")
    assert warnings[5].endswith("--weights '2 b.pth' --stride-on 1x1 --normalisation per-pixel --dataset cifar10`.")
    assert "evaluate the run itself" in list(cautions([Written(Path("x.pth"), "x", tiny())]))[-1]
    of_imagenets_form = tiny(model=bottleneck, data={"dataset": "cifar10"})
    assert "--dataset cifar10`" in list(cautions([Written(Path("x.pth"), "x", of_imagenets_form)]))[-1]


def test_a_network_that_torchvisions_names_cannot_describe_is_exported_under_ours(cli, tmp_path):
    for name, model in (("scaled", {"shortcut_scale": 0.5}), ("dirac", {"init": "dirac"})):
        config = tiny(model={"kind": "residual", "depth": 8, "width": 4} | model, recipe__steps=4, log__every=4)
        list(run(config, RunFolder(Path("runs") / name / config.name), CPU, measure_speed=False))
    refused = cli("export", "scaled/residual-8-s0", "--to", "torchvision")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "has model.shortcut_scale = 0.5, which a file with torchvision's names cannot state" in refused.err
    assert cli("export", "dirac", "--to", "torchvision").code == 0
    assert cli("export", "scaled", "--to", "safetensors").code == 0
    exported, own = (
        json.loads(cli("evaluate", *source, "--json", "--device", "cpu").out)
        for source in (["--weights", "runs/scaled/export/residual-8-s0.safetensors"], ["scaled/residual-8-s0"])
    )
    assert exported["test"] == own["test"]
    assert exported["network"] == own["network"]
    assert exported["network"]["shortcut_scale"] == 0.5
