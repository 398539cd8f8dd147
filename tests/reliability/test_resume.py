"""A run stopped after any step resumes to identical results, whatever its arithmetic; another environment is recorded."""

import pytest

from resnet_lab.config.schema import RunConfig
from resnet_lab.record.store import RunFolder
from resnet_lab.report.write import write_report
from resnet_lab.run.device import Resources
from resnet_lab.run.experiment import run
from resnet_lab.study.compare import compare_study
from tests.builders import CPU
from tests.reliability.lasting import lasting, stateful
from tests.reliability.scale import SOAK, times

MODEL = {"kind": "residual", "depth": 8, "width": 4}
SETTINGS = {
    "eager": {},
    "plain": {"model": MODEL | {"kind": "plain"}},
    "bf16": {"compute": {"compile": False, "precision": "bf16"}},
    "recomputed blocks": {"compute": {"compile": False, "recompute_blocks": True}},
    "deterministic": {"compute": {"compile": False, "deterministic": True}},
    "projections": {"model": MODEL | {"shortcut": "C"}},
    "bottleneck blocks": {"model": MODEL | {"block": "bottleneck", "depth": 11}},
    "milestones": {"recipe__schedule": {"name": "milestones", "milestones": [10, 20]}},
}


class StopAfter:
    """Asks a run to stop once it has made so many updates."""

    def __init__(self, folder, step):
        self._folder, self._step = folder, step

    def __call__(self):
        records = self._folder.records()
        return bool(records) and records[-1].step >= self._step


def stopped_and_resumed(values, folder, step):
    config = RunConfig.model_validate(values)
    list(run(config, folder, CPU, stop=StopAfter(folder, step), measure_speed=False))
    assert folder.events()[-1].name == "preempted"
    assert folder.events()[-1].step == step
    list(run(config, folder, CPU, measure_speed=False))
    return lasting(folder)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_stopped_after_any_step_resumes_to_identical_results(name, tmp_path, figure):
    values = stateful(**SETTINGS[name])
    list(run(RunConfig.model_validate(values), RunFolder(tmp_path / "whole"), CPU, measure_speed=False))
    expected = lasting(RunFolder(tmp_path / "whole"))
    steps = range(1, 30, times(20, 1))
    for step in steps:
        assert stopped_and_resumed(values, RunFolder(tmp_path / str(step)), step) == expected, step
    figure("2", f"stop after each of {len(steps)} of 30 steps and resume, {name}", f"{len(steps)} of {len(steps)} identical")


@pytest.mark.skipif(not SOAK, reason="compiles for minutes: make soak; tests/models/test_compile.py resumes a compiled run")
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
def test_a_compiled_run_stopped_after_any_step_resumes_to_identical_results(tmp_path, figure):
    values = stateful(compute={"compile": True})
    list(run(RunConfig.model_validate(values), RunFolder(tmp_path / "whole"), CPU, measure_speed=False))
    expected = lasting(RunFolder(tmp_path / "whole"))
    for step in range(1, 30):
        assert stopped_and_resumed(values, RunFolder(tmp_path / str(step)), step) == expected, step
    figure("2", "stop after each of 29 of 30 steps and resume, compiled", "29 of 29 identical")


def test_resuming_in_another_environment_is_recorded_and_reported(tmp_path, figure):
    config = RunConfig.model_validate(stateful())
    folder = RunFolder(tmp_path / "s" / config.name)
    list(run(config, folder, CPU, stop=StopAfter(folder, 7), measure_speed=False))
    environment = folder.path / "environment.json"
    other = environment.read_text().replace('"torch": "', '"torch": "1.0.0 in place of ')
    environment.write_text(other.replace('"device_name": "', '"device_name": "another than '))
    list(run(config, folder, Resources(device="cpu", threads=2), measure_speed=False))
    resumed = next(event for event in folder.events() if event.name == "resumed")
    assert set(resumed.detail["changed"]) == {"versions", "device_name", "threads"}
    page = write_report(compare_study(folder.path.parent))[0].read_text()
    assert "no longer exactly reproducible" in page
    assert "step 7" in page
    figure("2", "resume with another thread count, processor and version of torch", "goes on, with an event; the report says so")
