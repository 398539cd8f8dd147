"""The sentences that analyses derive from their numbers, on the committed results of reference/quick."""

import dataclasses

import pytest

from resnet_lab.analysis.registry import analyses, findings
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study
from tests.builders import ROOT


@pytest.fixture(scope="module")
def found():
    results, faults = findings(read_study(ROOT / "reference/quick").runs)
    assert not faults
    return results


def sentences(name, results):
    (analysis,) = (analysis for analysis in analyses() if analysis.name == name)
    return list(analysis.sentences(results))


def test_every_analysis_has_a_sentence_for_its_results(found):
    measured = {finding.result.analysis for finding in found}
    assert measured >= {"identity", "responses", "gradients", "paths", "landscape", "line"}
    assert all(sentences(name, found) for name in measured)
    assert not any(sentences(analysis.name, []) for analysis in analyses())


def test_responses_say_where_these_networks_differ_from_the_papers(found):
    assert sentences("responses", found) == [
        "Mean standard deviation over all layers: plain-56 1.16, residual-56 1.18; over the last third of them: plain-56 0.90, "
        "residual-56 1.43.",
        "The paper reports smaller responses in residual networks; these networks do not show that.",
        "From depth 20 to 56, the mean of plain networks rises from 0.93 to 1.16.",
        "From depth 20 to 56, the mean of residual networks rises from 0.87 to 1.18.",
    ]


def test_gradients_say_how_the_norm_changes_towards_the_input(found):
    first, last, *_ = sentences("gradients", found)
    assert first.startswith("plain-56 at step 0: the gradient norm is 0.0085 at the output of the last block and 50 at that of")
    assert first.endswith("Towards the input, the gradient grows.")
    assert last.endswith("Towards the input, the gradient keeps its order of magnitude.")


@pytest.mark.parametrize(("middle", "height"), [(0.9, "a barrier of 40.00 points"), (0.3, "no barrier")])
def test_a_line_has_a_barrier_only_above_both_ends(found, middle, height):
    line = next(finding for finding in found if finding.result.analysis == "line")
    inside = [0 <= position <= 1 for position in line.result.positions]
    errors = [middle] * len(inside)
    errors[inside.index(True)], errors[len(inside) - 1 - inside[::-1].index(True)] = 0.2, 0.5
    changed = line.result.model_copy(update={"train_errors": tuple(errors)})
    (sentence,) = sentences("line", [dataclasses.replace(line, result=changed)])
    assert height in sentence
    assert "On 500 images, with the batch statistics of BN, it is 20.00 % and 50.00 % at the ends" in sentence


def test_paths_compare_the_error_without_one_block_with_that_of_all(found):
    assert sentences("paths", found)[-1] == (
        "residual-56: removing one block changes the error on 500 test images from 18.60 % to 22.60 % (median over blocks), by "
        "+4.00 points."
    )


def test_only_networks_trained_for_as_many_steps_are_compared_with_the_construction(found):
    identity = next(finding for finding in found if finding.result.analysis == "identity" and finding.network[0] == "plain")

    def seed(number, constructed, scratch, steps=6000):
        errors = identity.result.constructed.model_copy(update={"train": constructed})
        by_sgd = None if scratch is None else identity.result.constructed.model_copy(update={"train": scratch})
        changed = identity.result.model_copy(update={"constructed": errors, "scratch": by_sgd, "scratch_step": steps})
        run = dataclasses.replace(identity.run, folder=RunFolder(ROOT / f"reference/quick/plain-20-s{number}"))
        return dataclasses.replace(identity, run=run, result=changed)

    (sentence,) = sentences("identity", [seed(0, 0.1, 0.11), seed(1, 0.3, None, None), seed(2, 0.3, 0.6, 100)])
    assert sentence.startswith("SGD came within 1.00 points of the constructed solution")
    (sentence,) = sentences("identity", [seed(0, 0.1, 0.6, 100)])
    assert sentence.startswith("A solution exists: ")
