"""Figure 14: a damaged result of an analysis is left out, or can be shown in tables and figures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from resnet_lab.analysis.registry import analyses, findings
from resnet_lab.analysis.results import block_names, layer_names, projection_names
from resnet_lab.config.model import ModelConfig
from resnet_lab.models.blocks import Block
from resnet_lab.models.resnet import build
from resnet_lab.record.store import RunFolder
from resnet_lab.report.figures import rendered
from tests.builders import ROOT, made_run
from tests.reliability.scale import times
from tests.reliability.strategies import damaged

RESULTS = times(10, 1_000)
STUDY = ROOT / "reference" / "quick"
FILES = sorted({path.name.split("-")[0]: path for path in sorted(STUDY.glob("*/analysis/*.json"))}.values())


@pytest.fixture
def runs(tmp_path):
    """Two seeds of each network that FILES are of, without results."""
    runs = []
    for name in sorted({path.parent.parent.name for path in FILES}):
        kind, depth, _ = name.split("-")
        for seed in (0, 1):
            made = made_run(kind, int(depth), seed)
            folder = RunFolder(tmp_path / made.config.name)
            folder.make_analysis()
            runs.append(made.__class__(**{**made.__dict__, "folder": folder}))
    return runs


def test_a_damaged_result_is_left_out_or_can_be_shown(runs, figure):
    shown = []

    @settings(max_examples=RESULTS)
    @given(st.data(), st.sampled_from(FILES))
    def check(data, path):
        whole, network = path.read_bytes(), path.parent.parent.name.rsplit("-", 1)[0]
        first, second = (run.folder.analysis / path.name for run in runs if run.name.startswith(network))
        first.write_bytes(data.draw(damaged(whole)))
        second.write_bytes(whole)
        found, faults = findings(runs)
        assert len(found) + len(faults) == 2
        colours = {(run.config.model.variant, run.config.model.depth): "#123456" for run in runs}
        for analysis in analyses():
            list(analysis.sentences(found))
            analysis.table(found)
            for illustration in analysis.figures(found, colours):
                rendered(illustration.draw("wide"), "svg")
        shown.append(not faults)
        first.unlink()
        second.unlink()

    check()
    figure("14", f"{RESULTS:,} damaged results of analyses", f"{sum(shown):,} could be shown, the others were named and left out")


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
@pytest.mark.parametrize(("layout", "block", "depth"), [
    ("cifar", "basic", 14), ("cifar", "bottleneck", 20), ("imagenet", "basic", 18), ("imagenet", "bottleneck", 50),
])  # fmt: skip
def test_the_expected_names_are_those_of_the_network(layout, block, depth, shortcut):
    model = ModelConfig(kind="residual", layout=layout, block=block, depth=depth, width=4, shortcut=shortcut)
    modules = dict(build(model, 0).named_modules())
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    assert sorted(convolutions) == sorted(f"{name}.conv" for name in [*layer_names(model), *projection_names(model)])
    assert [name for name in convolutions if ".shortcut." not in name] == [f"{name}.conv" for name in layer_names(model)]
    assert [name for name, module in modules.items() if isinstance(module, Block)] == block_names(model)
