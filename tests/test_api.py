"""The Python interface: the example in docs/api.md runs, and every function is documented and typed."""

import inspect
import re
from pathlib import Path

import pytest

import resnet_lab
from resnet_lab import api
from resnet_lab.errors import ConfigError
from resnet_lab.record.lines import Event
from tests.builders import ROOT, tiny

PAGE = ROOT / "docs" / "api.md"
FUNCTIONS = [value for value in vars(api).values() if inspect.isfunction(value) and value.__module__ == api.__name__]


def test_documented_example_runs_as_it_is_written(tmp_path, capsys):
    [example] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(example, {})
    shown = capsys.readouterr().out
    assert "EvalRecord(" in shown
    assert "in plain nets" in shown
    assert (tmp_path / "runs" / "mine" / "report" / "index.html").is_file()
    assert {run.state for run in api.read("runs/mine").runs} == {"finished"}


def test_run_is_trained_once_and_its_study_gets_curves(tmp_path):
    config = tiny(recipe__steps=8)
    *_, last = api.run(config, tmp_path / "s", device="cpu", threads=1)
    assert isinstance(last, Event)
    assert last.name == "finished"
    assert list(api.run(config, tmp_path / "s")) == [last]  # a finished run is not trained again
    study = api.read(str(tmp_path / "s"))
    assert [run.name for run in study.runs] == [config.name]
    assert api.write_curves(study, x="epoch").is_file()


def test_unknown_preset_raises_a_clear_error():
    with pytest.raises(ConfigError, match="There is no preset 'papr'"):
        api.load("papr")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_api_function_is_documented_and_typed(function):
    assert inspect.getdoc(function)
    signature = inspect.signature(function)
    annotations = [signature.return_annotation, *(parameter.annotation for parameter in signature.parameters.values())]
    assert inspect.Signature.empty not in annotations


def test_package_is_marked_as_typed():
    assert (Path(resnet_lab.__file__).parent / "py.typed").is_file()
