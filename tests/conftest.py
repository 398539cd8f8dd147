"""Fixtures: a study of tiny runs, the command line in this process, and the real CIFAR-10 if it is available."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from resnet_lab.cli import terminal
from resnet_lab.cli.main import main
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from tests.builders import CPU, KINDS, ROOT, tiny


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Use one thread, an empty working directory and none of the user's data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESNET_LAB_DATA", raising=False)
    monkeypatch.delenv("RESNET_LAB_CIFAR10_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    for console in (terminal.stdout, terminal.stderr):  # made when the module was imported
        monkeypatch.setattr(console, "width", 200)
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS"):  # they make help texts coloured
        monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def _trained_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "s"
    for kind in KINDS:
        for depth in (8, 14):
            config = tiny(model__kind=kind, model__depth=depth, recipe__steps=8, log__keep=[4], evaluation__every=4)
            list(run(config, RunFolder(folder / config.name), CPU))
    return folder


@pytest.fixture
def study(_trained_study: Path, tmp_path: Path) -> Path:
    """Plain and residual runs of depth 8 and 14 on the synthetic stand-in, in runs/s."""
    return Path(shutil.copytree(_trained_study, tmp_path / "runs" / "s"))


@dataclass(frozen=True)
class Answer:
    """The exit code of a command and what it printed."""

    code: int
    out: str
    err: str


Cli = Callable[..., Answer]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return call


def _real_data() -> Path | None:
    places = [os.environ.get("RESNET_LAB_DATA"), ROOT / "data", ROOT.parent / "shared" / "data"]
    folders = (Path(place).resolve() for place in places if place)  # now: tests change the working directory
    return next((folder for folder in folders if (folder / "cifar-10-batches-py").is_dir()), None)


REAL_DATA = _real_data()


@pytest.fixture
def cifar10() -> Path:
    """The folder of the real CIFAR-10; the test is skipped where there is none."""
    if REAL_DATA is None:
        pytest.skip("CIFAR-10 is not here: set RESNET_LAB_DATA")
    return REAL_DATA
