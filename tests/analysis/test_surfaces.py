"""Figures and the table of loss surfaces and lines, also with losses that are huge or not finite."""

import dataclasses

import pytest

from resnet_lab.analysis import surfaces
from resnet_lab.analysis.catalogue.landscape import Landscape, figures, sentences, table
from resnet_lab.analysis.catalogue.line import Line
from resnet_lab.analysis.definition import Finding
from resnet_lab.record.store import RunFolder
from resnet_lab.report.figures import svg


@pytest.mark.parametrize("loss", [None, 1e12, 2.3])
def test_figures_stay_readable_with_huge_and_missing_losses(loss):
    rows = (0.5, 1.0, 3.0), (1.0, 0.4, 12.0), (loss, loss, loss)
    common = {"step": 1, "bn": "moving", "seed": 0, "images": 1, "coordinates": (-1.0, 0.0, 1.0)}
    plane = Landscape(**common, dims=2, losses=rows, errors=((0.5,) * 3,) * 3)
    text = svg(surfaces.contours({"plain-8-s0": plane}))
    assert all(f">{level}</text>" in text for level in (1, 2, 5, 10))
    (bar,) = [axes for axes in surfaces.contours({"plain-8-s0": plane}, "narrow").axes if axes.get_label() == "<colorbar>"]
    assert (bar._colorbar.extend == "max") == (loss != 2.3)  # an arrow where losses are cut off
    svg(surfaces.contours({"plain-8-s0": plane.model_copy(update={"losses": ((loss,) * 3,) * 3})}))
    row = Landscape(**common, dims=1, losses=((loss, 0.4, 1.0),), errors=((0.5,) * 3,))
    colours = {("plain", 8): "0.2"}
    assert surfaces.slices({"plain-8-s0": (("plain", 8), row)}, colours).axes[0].get_ylim()[1] <= 100
    between = Line(
        step=1, other="b", other_step=1, bn="moving", train_images=1, test_images=1, positions=(0.0, 0.5, 1.0),
        train_losses=(0.4, loss, 1.0), train_errors=(0.5,) * 3, test_losses=(0.4, loss, 1.0), test_errors=(0.5,) * 3,
    )  # fmt: skip
    assert surfaces.lines({"a to b": (("plain", 8), between)}).axes[0].get_ylim()[1] < 24


def test_table_has_a_row_for_a_slice_without_finite_losses(study):
    row = Landscape(
        step=8, dims=1, bn="moving", seed=0, images=1, coordinates=(-1.0, 0.0, 1.0), losses=((None,) * 3,), errors=((0.9,) * 3,)
    )
    finding = Finding(RunFolder(study / "plain-8-s0").read(), row)
    assert table([finding]).rows[0][-3:] == ("-", "-", "-")


def test_contours_and_sentences_of_several_seeds(study):
    run = RunFolder(study / "plain-8-s0").read()
    common = {"step": 8, "dims": 2, "bn": "moving", "seed": 0, "images": 1, "coordinates": (-1.0, 0.0, 1.0)}
    found = [
        Finding(
            dataclasses.replace(run, folder=RunFolder(study / f"plain-8-s{seed}")),
            Landscape(**common, losses=((9.0,) * 3, (9.0, middle, 9.0), (9.0,) * 3), errors=((0.9,) * 3,) * 3),
        )
        for seed, middle in enumerate((1.0, 2.0))
    ]
    (figure,) = figures(found, {("plain", 8): "0.2"})
    assert figure.title.endswith("one run each")
    titles = [axes.get_title() for axes in figure.draw(layout="wide").axes]
    assert [title.splitlines()[0] for title in titles if title] == ["plain-8-s0"]
    (sentence,) = sentences(found)
    assert "plain-8, 2-D slice" in sentence
    assert "the loss is 1.5 at the network, and its median over the slice is 9, means over 2 seeds." in sentence
    assert list(sentences([dataclasses.replace(found[0], result=_without_loss(found[0].result))])) == []


def _without_loss(result):
    return result.model_copy(update={"losses": ((None,) * 3,) * 3})
