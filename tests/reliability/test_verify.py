"""Damage to any file of a study is found by `verify`."""

import random
import shutil
from pathlib import Path

import pytest

from resnet_lab.analysis.gradients import gradients
from resnet_lab.analysis.results import save
from resnet_lab.analysis.subject import subjects
from resnet_lab.record.export import write_csv
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study
from resnet_lab.report.verify import verify
from resnet_lab.report.write import write_report
from resnet_lab.run.experiment import run
from resnet_lab.study.compare import compare_study
from resnet_lab.weights.export import write_weights
from tests.builders import CPU, KINDS, tiny
from tests.reliability.scale import times

RUN = "residual-8-s0"
CONTINUED = f"{RUN}/analysis/constructed-14-from-00000008-4-steps"
# One file of each kind, and the checks of which at least one must find damage to it.
FILES = {
    f"{RUN}/config.json": {"identity", "files"},
    f"{RUN}/environment.json": {"identity"},
    f"{RUN}/metrics.jsonl": {"files"},
    f"{RUN}/events.jsonl": {"files"},
    f"{RUN}/checkpoints/manifest.json": {"checkpoints"},
    f"{RUN}/checkpoints/step-00000008.pt": {"checkpoints"},
    f"{RUN}/analysis/gradients-00000000.json": {"analyses"},
    f"{CONTINUED}/config.json": {"identity", "files"},
    f"{CONTINUED}/metrics.jsonl": {"files"},
    f"{CONTINUED}/checkpoints/step-00000004.pt": {"checkpoints"},
    f"{RUN}/analysis/sha256.json": {"analyses"},
    "export/runs.csv": {"exports"},
    "export/evaluation.csv": {"exports"},
    f"export/{RUN}.safetensors": {"exports"},
    f"export/{RUN}.pth": {"exports"},
    "export/sha256.json": {"exports"},
    "summary.json": {"numbers"},
    "curves.csv": {"numbers"},
    "curves.png": {"figures"},
    "curves.svg": {"figures"},
    "curves.pdf": {"figures"},
    "gradients.png": {"figures"},
    "report/index.html": {"figures"},
    "report/report.md": {"figures"},
    "sha256.json": {"figures", "numbers"},
}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a matched pair with every kind of file that commands write."""
    study = tmp_path_factory.mktemp("intact") / "s"
    for kind in KINDS:
        config = tiny(model__kind=kind, recipe__steps=8, evaluation__every=4)
        list(run(config, RunFolder(study / config.name), CPU, measure_speed=False))
    folders = [RunFolder(study / f"{kind}-8-s0") for kind in KINDS]
    for folder, subject in zip(folders, subjects(folders, 0, CPU), strict=True):
        save(folder, gradients(subject, 1))
    deeper = tiny(model={"kind": "residual", "depth": 14, "width": 4}, recipe__steps=4, evaluation__every=4)
    list(run(deeper, RunFolder(study / CONTINUED), CPU, measure_speed=False))
    write_csv(study / "export", read_study(study))
    for file_format in ("safetensors", "torchvision"):
        list(write_weights(study / "export", folders, None, file_format))
    write_report(compare_study(study))
    assert faulty(study) == set()
    return study


def faulty(study: Path) -> set[str]:
    """The names of the checks that find a fault."""
    return {check.name for check in verify(study).checks if check.faults}


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_by_a_check_of_its_file(intact, tmp_path, name, figure):
    study = Path(shutil.copytree(intact, tmp_path / "s"))
    path, source = study / name, random.Random(name)
    content = path.read_bytes()
    end = content[:-1].rfind(b"\n") if path.name == "events.jsonl" else len(content)  # the last event has the checksum
    count = times(2, 50)
    for _ in range(count):
        position, bit = source.randrange(end), source.randrange(8)
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :])
        assert faulty(study) & FILES[name], f"bit {bit} of byte {position} of {name}"
    path.write_bytes(content)
    assert faulty(study) == set()
    figure("verify", f"{count} flipped bits in {name}", f"{count} of {count} found by {' or '.join(sorted(FILES[name]))}")


@pytest.mark.parametrize(
    "name", [name for name in FILES if not name.endswith(("environment.json", "sha256.json", "config.json"))]
)
def test_a_file_cut_in_half_is_found(intact, tmp_path, name, figure):
    study = Path(shutil.copytree(intact, tmp_path / "s"))
    content = (study / name).read_bytes()
    (study / name).write_bytes(content[: len(content) // 2])
    assert faulty(study)
    figure("verify", f"{name} cut in half", f"found by {' and '.join(sorted(faulty(study)))}")
