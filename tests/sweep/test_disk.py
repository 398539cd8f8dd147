"""The disk space that a sweep needs, and what is said where it will not fit."""

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from resnet_lab.sweep import plan as plan_module
from resnet_lab.sweep.disk import DiskSpace, checkpoint_bytes, disk_space, free_bytes
from resnet_lab.sweep.local import LocalPool
from resnet_lab.sweep.plan import plan
from tests.builders import CPU, tiny, write_config


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        ({"kind": "plain", "depth": 20}, "sgd"),
        ({"kind": "residual", "depth": 14, "shortcut": "B", "width": 8}, "adamw"),
        ({"kind": "residual", "depth": 14, "norm": "none"}, "muon"),
    ],
)
def test_the_size_of_a_checkpoint_is_estimated_within_5_percent(model, optimizer, tmp_path):
    config = tiny(
        model=model,
        recipe__optimizer=optimizer,
        recipe__lr=0.001,
        recipe__steps=2,
        recipe__schedule={"name": "milestones"},
        evaluation__every=2,
    )
    folder = RunFolder(tmp_path / "run")
    list(run(config, folder, CPU))
    [path] = folder.checkpoints.glob("*.pt")
    assert checkpoint_bytes(config) == pytest.approx(path.stat().st_size, rel=0.05)


def test_what_a_run_occupies_is_enough_for_it(tmp_path):
    config = tiny(log__keep=[4, 8], log__every=1)
    folder = RunFolder(tmp_path / "s" / "run")
    before = disk_space([(config, folder)], 1, tmp_path / "s").needed
    list(run(config, folder, CPU, checkpoint_seconds=0.0))
    used = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
    size = checkpoint_bytes(config)
    assert used + size <= before <= used + 2 * size + 200_000
    assert disk_space([(config, folder)], 1, tmp_path / "s").needed <= 2 * size + 200_000, "what is there needs no space"
    assert disk_space([], 2, tmp_path / "s").needed == 0


def test_the_free_space_of_a_folder_that_is_still_to_be_made(tmp_path):
    assert free_bytes(tmp_path / "runs" / "study") > 0


def test_a_sweep_that_does_not_fit_says_so_and_goes_on(cli, tmp_path, monkeypatch):
    config = write_config(tmp_path / "two.toml")
    study = tmp_path / "runs" / "two"
    asked = []
    planned = plan(
        load_study(str(config)), study, None, LocalPool("cpu", 1, 1), print, free=lambda path: asked.append(path) or 1000
    )
    assert asked == [study]
    assert planned.disk.free == 1000
    assert 6 * 62_000 < planned.disk.needed < 1_000_000
    monkeypatch.setattr(plan_module, "disk_space", lambda *_: DiskSpace(2_500_000_000, 1_400_000))
    answer = cli("sweep", config, "--dry-run")
    assert answer.code == 0
    said = " ".join(answer.err.split())
    assert "The sweep needs about 2.5 GB of disk space in runs/two, where 1.4 MB are free. Free disk space or choose" in said
    monkeypatch.setattr(plan_module, "disk_space", lambda *_: DiskSpace(1000, 1000))
    assert "disk space" not in cli("sweep", config, "--dry-run").err
