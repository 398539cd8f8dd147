"""`resnet-lab analyze`: every analysis at the command line, its figures, its part of the report, and its errors."""

import json
import re

import pytest

from resnet_lab.analysis.landscape import with_batch_statistics
from resnet_lab.analysis.subject import subset
from resnet_lab.data.batches import clean_batches
from resnet_lab.report.write import write_report
from resnet_lab.study.compare import compare_study
from resnet_lab.train.evaluate import evaluate
from tests.builders import trained_subject


def test_layer_analyses_print_results_draw_figures_and_fill_the_report(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1)
    answers = {name: cli("analyze", name, "s", *common, "--json") for name in ("responses", "gradients", "identity")}
    for name, answer in answers.items():
        assert answer.code == 0, answer.err
        results = json.loads(answer.out)["results"]
        assert {each["analysis"] for each in results} == {name}
        assert len(results) == (2 if name == "identity" else 4)
    assert cli("analyze", "gradients", "s/plain-8-s0", "--at", 0, *common).code == 0
    assert "construction" in cli("analyze", "identity", "s", "--continue-steps", 2, "--fast", *common).out
    for stem in ("responses", "gradients", "identity-8-to-14"):
        assert (study / f"{stem}.png").stat().st_size > 10_000
    (study / "plain-8-s0" / "analysis" / "junk.json").write_text('{"analysis": "responses", "step": -1}')
    page, text = write_report(compare_study(study))
    for words in ("Why", "The identity construction", "Layer responses", "Gradients", "A solution exists"):
        assert words in page.read_text()
    assert "plain-8-s0/analysis/junk.json is not a valid result of an analysis" in text.read_text().replace("\\", "")
    assert "trained on" in text.read_text()


def test_missing_checkpoint_exits_with_6_and_missing_depth_with_2(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1)
    answer = cli("analyze", "responses", "s", "--at", 5, *common)
    assert (answer.code, answer.out) == (6, "")
    assert "available steps: 4, 8" in answer.err
    answer = cli("analyze", "identity", "s/plain-8-s0", *common)
    assert answer.code == 2
    assert "or give --depth" in answer.err
    assert cli("analyze", "identity", "s/plain-8-s0", "--depth", 8, *common).code == 2
    answer = cli("analyze", "identity", "s/plain-8-s0", "--depth", 21, *common)
    assert answer.code == 2
    assert "nearest valid: 20 and 26" in answer.err
    assert cli("analyze", "identity", "s/plain-8-s0", "--depth", 20, "--fast", *common).code == 0


def test_points_that_leave_out_a_network_are_refused(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1, "--fast")
    answer = cli("analyze", "landscape", "s", "--points", 10, *common)
    assert answer.code == 2
    assert "--points 10 leaves out the network itself, at the centre: give an odd number." in answer.err
    answer = cli("analyze", "line", "s/plain-8-s0", "s/plain-14-s0", "--points", 10, *common)
    assert answer.code == 2
    assert "--points 10 leaves out the two networks: give a multiple of 6 plus 1, such as 7, 13 or 31." in answer.err


def test_paths_landscape_and_line_draw_figures_and_fill_the_report(study, cli):
    common = ("--runs", study.parent, "--device", "cpu", "--threads", 1, "--fast")
    assert "half removed" in cli("analyze", "paths", "s", *common).out
    answer = cli("analyze", "landscape", "s", "--points", 3, "--images", 10, *common)
    assert answer.code == 0, answer.err
    assert "9 points, about" in answer.err
    assert "9 of 9 points" in answer.err
    assert cli("analyze", "landscape", "s", "--points", 3, "--dims", 1, "--bn", "batch", *common, "--json").code == 0
    answer = cli("analyze", "line", "s/plain-8-s0", "s/plain-14-s0", *common, "--json")
    built = json.loads(answer.out)["results"][0]
    assert built["other"] == "plain-14-s0"
    run = trained_subject(study, "plain-8-s0")
    images = subset(run.data.train, 200, "train")
    loss = evaluate(with_batch_statistics(run.net), clean_batches(images, run.data.mean, 250))[1]
    assert built["train_losses"][1] == pytest.approx(loss, rel=0.02)  # batch statistics, and the same function
    for stem in ("paths", "landscape-2d-moving", "landscape-1d-batch", "lines"):
        assert (study / f"{stem}.png").stat().st_size > 10_000
    page = write_report(compare_study(study))[0].read_text()
    assert "<image" not in page
    for words in ("Blocks removed", "The loss surface", "Straight lines between networks"):
        assert re.search(f"<h3><a [^>]*>{words}</a></h3>", page)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["s/plain-8-s0", "s/residual-8-s0"], "choose two runs of the same kind"),
        (["s/plain-14-s0", "s/plain-8-s0"], "have different shapes"),
        (["s", "s/plain-8-s0"], "name two runs, not studies"),
        (["s/plain-8-s0", "s/plain-8-s0"], "name two runs, not studies"),
    ],
)
def test_line_between_runs_that_do_not_fit_is_refused(study, cli, arguments, sentence):
    answer = cli("analyze", "line", *arguments, "--runs", study.parent, "--device", "cpu")
    assert answer.code == 2
    assert sentence in answer.err
