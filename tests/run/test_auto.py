"""Settings left to `auto`: whether blocks are compiled, and the data set. Measured speeds are given, not measured."""

import json
import urllib.request

import pytest
import torch

from resnet_lab.config.schema import with_compile
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.record.store import RunFolder
from resnet_lab.run import auto
from resnet_lab.run.auto import as_in_study, decide_compile, decide_data, fetch_data
from resnet_lab.run.estimate import Speed
from resnet_lab.run.experiment import run
from tests.builders import tiny

CPU = torch.device("cpu")
AUTO_DATA = tiny(data__dataset="auto")


def speed_of(step_seconds: float) -> Speed:
    """The speed of a network whose steps take so long."""
    return Speed({"data": 0.0, "forward": step_seconds, "backward": 0.0, "optimizer": 0.0}, 0.001)


@pytest.mark.parametrize(
    ("compiled_seconds", "steps", "pays"),
    [(0.5, 30, False), (0.5, 30_000, True), (0.99, 30_000, False), (2.0, 30_000, False)],
    ids=["too short to try", "pays", "gains too little", "slower"],
)
def test_auto_compiles_only_if_a_trial_shows_that_it_pays(monkeypatch, compiled_seconds, steps, pays):
    tried = []

    def measure(config, device):
        tried.append(config.compute.compile)
        return speed_of(compiled_seconds if config.compute.compile is True else 1.0)

    monkeypatch.setattr(auto, "measure", measure)
    monkeypatch.setattr(auto, "compile_problem", lambda device: None)
    decided = decide_compile(tiny(compute__compile="auto"), CPU, steps)
    assert decided.config.compute.compile is pays
    assert decided.speed.step_seconds == (compiled_seconds if pays else 1.0)
    assert tried == [False, True] if steps > 1_000 else tried == [False]
    assert (decided.notices == ()) == (steps < 1_000)


def test_a_trial_pays_only_in_studies_of_more_than_21_minutes():
    assert not auto.trial_pays(20 * 60)  # 5 % of 20 minutes are less than a minute
    assert auto.trial_pays(22 * 60)


@pytest.mark.parametrize(("bf16_seconds", "words"), [(12.0, "bf16 takes 12.0 times as long as fp32"), (0.5, None)])
def test_bf16_slower_than_fp32_is_reported_with_the_ratio(monkeypatch, bf16_seconds, words):
    def measure(config, device):
        return speed_of(bf16_seconds if config.compute.precision == "bf16" else 1.0)

    monkeypatch.setattr(auto, "measure", measure)
    decided = decide_compile(tiny(compute={"compile": False, "precision": "bf16"}), CPU)
    assert [notice.partition(" on this CPU")[0] for notice in decided.notices] == ([words] if words else [])
    assert decide_compile(tiny(), CPU).notices == ()


def test_an_unrequested_speed_is_measured_only_to_compile_or_to_decide(monkeypatch):
    measured = []
    monkeypatch.setattr(auto, "measure", lambda config, device: measured.append(config.compute.compile) or speed_of(1.0))
    monkeypatch.setattr(auto, "compile_problem", lambda device: None)
    for setting in (False, True, "auto"):
        decide_compile(tiny(compute__compile=setting), CPU, measure_speed=False)
    assert measured == [True, False]


def test_auto_is_eager_if_compilation_fails(monkeypatch):
    monkeypatch.setattr(auto, "measure", lambda config, device: speed_of(1.0))
    monkeypatch.setattr(auto, "compile_problem", lambda device: "no compiler")
    decided = decide_compile(tiny(compute__compile="auto"), CPU, 30_000)
    assert decided.config.compute.compile is False
    assert decided.notices == ("Blocks are not compiled: no compiler.",)


def test_later_runs_of_a_study_compile_blocks_as_the_first_run_does(tmp_path):
    first = tiny(compute__compile=True)
    RunFolder(tmp_path / first.name).create(first)
    second = tiny(seed=1, compute__compile="auto")
    assert as_in_study(second, tmp_path) == with_compile(second, True)


def test_a_config_without_the_compile_setting_means_not_compiled(tmp_path):
    old = tiny(compute__compile=False)
    folder = RunFolder(tmp_path / old.name)
    folder.create(old)
    values = json.loads((folder.path / "config.json").read_text())
    del values["compute"]
    (folder.path / "config.json").write_text(json.dumps(values))
    assert folder.config() == old
    list(run(tiny(compute__compile="auto"), folder, stop=lambda: True))  # the same command resumes it


def test_a_study_begun_on_the_stand_in_stays_on_it_and_says_so(tmp_path, monkeypatch):
    def urlopen(*arguments, **options):
        pytest.fail("nothing is to be downloaded")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    first = tiny(seed=1)
    RunFolder(tmp_path / "study" / first.name).create(first)
    settled = as_in_study(AUTO_DATA, tmp_path / "study")
    assert settled == decide_data(settled, tmp_path) == tiny()
    assert list(fetch_data(AUTO_DATA, settled, tmp_path)) == []
    (tmp_path / CIFAR10.folder).mkdir()
    (tmp_path / CIFAR10.folder / "test_batch").touch()
    assert "CIFAR-10 is available now" in str(list(fetch_data(AUTO_DATA, settled, tmp_path)))
    assert list(fetch_data(tiny(), tiny(), tmp_path)) == []  # the stand-in was requested explicitly
    assert decide_data(settled, tmp_path) == tiny()
