"""Analyses of networks with other settings than the paper's: all results fit the network."""

import pytest

from resnet_lab.analysis.gradients import gradients
from resnet_lab.analysis.landscape import Slice, landscape
from resnet_lab.analysis.paths import paths
from resnet_lab.analysis.responses import responses
from resnet_lab.record.store import RunFolder
from resnet_lab.run.experiment import run
from tests.builders import CPU, tiny, trained_subject

SETTINGS = [
    {"kind": "residual", "shortcut_scale": 0.0, "shortcut": "B"},
    {"kind": "residual", "order": "preactivation", "branch_scale": "learnable", "shortcut": "C"},
    {"kind": "residual", "order": "bn-after-addition", "init": "orthogonal"},
    {"kind": "residual", "order": "relu-before-addition", "activation_slope": 0.1},
    {"kind": "residual", "norm": "none"},
    {"kind": "plain", "norm": "none", "init": "dirac", "span": 1},
]


@pytest.mark.parametrize("model", SETTINGS, ids=str)
def test_analyses_measure_all_parts_of_a_network(model, tmp_path):
    config = tiny(model={"depth": 8, "width": 4} | model, recipe__steps=4, recipe__lr=0.01)
    list(run(config, RunFolder(tmp_path / config.name), CPU, measure_speed=False))
    subject = trained_subject(tmp_path, config.name)
    *_, slice_ = landscape(subject, Slice(dims=1, points=3, images=20, bn="batch"))
    for result in (responses(subject, 20), gradients(subject, 2), paths(subject, 20, 1), slice_):
        assert result.fits(config.model)
