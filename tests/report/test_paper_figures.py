"""Figures 1, 6 and 7 for a paper: their size, fonts and lines, and what a study has no data for."""

import re
import zlib
from pathlib import Path

import pytest

from resnet_lab.errors import ConfigError
from resnet_lab.report import paper_figures
from resnet_lab.report.write import write_paper_figures
from resnet_lab.study.compare import compare_study
from tests.builders import ROOT, compared, four_runs, made_run


def content(pdf):
    """The text of a PDF file with its streams unpacked."""
    parts = [pdf]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S):
        try:
            parts.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return b"".join(parts).decode("latin-1")


def test_all_three_figures_are_one_column_wide_with_embedded_fonts(tmp_path):
    comparison = compare_study(ROOT / "reference" / "quick")
    paths, missing = write_paper_figures(comparison, out=tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [f"paper/figure{number}.pdf" for number in (1, 6, 7)]
    assert missing == ()
    for path in paths:
        text = content(path.read_bytes())
        (width,) = {float(box) for box in re.findall(r"/MediaBox \[ ?0 0 ([\d.]+)", text)}
        assert width == 72 * 3.25
        assert "/FontFile2" in text  # TrueType (Type 42), as publishers want it
        assert "/Subtype /Type3" not in text
        assert "STIXGeneral" in text
        assert "DejaVu" not in text
    again, _ = write_paper_figures(comparison, out=tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_lines_follow_the_paper_dashed_for_training_and_bold_for_test():
    figure = paper_figures.paper_figures(compared(four_runs())).drawn["figure6"]
    for axes in figure.axes:
        styles = {(line.get_linestyle(), line.get_linewidth()) for line in axes.lines}
        assert {("--", 0.9), ("-", 1.2)} <= styles
    assert {text.get_text() for text in figure.axes[1].texts} == {"ResNet-20", "ResNet-56"}


def test_study_without_data_for_a_figure_says_which_and_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn, missing = paper_figures.paper_figures(compared([made_run("plain", 20), made_run("plain", 56)], "s"))
    assert list(drawn) == ["figure1"]
    assert missing == (
        "Figure 6 needs evaluations of plain and of residual networks, which s does not have.",
        "Figure 7 needs the responses of layers: run `resnet-lab analyze responses s` first.",
    )
    with pytest.raises(ConfigError, match=r"Figure 1 needs .* Figure 6 needs .* Figure 7 needs "):
        write_paper_figures(compared([made_run("residual", 20)], "s"))
    assert list(Path.cwd().iterdir()) == []
