"""From what a study's folder says to the files that people look at."""

from pathlib import Path

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import findings
from resnet_lab.presentation.blocks import Illustration, Picture, picture
from resnet_lab.record.files import disk_errors, write_atomically, write_json
from resnet_lab.report import charts, document, figures, html, markdown, why
from resnet_lab.report.illustrations import curves, illustrations
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.values import comparison_values

_OPTION = "--out"  # of the commands that write these files


def write_comparison(folder: Path, comparison: Comparison, x: figures.X = "step") -> None:
    """Write `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json` into a folder, usually the study's. Raises DiskError."""
    _make(folder)
    _picture(folder, comparison, curves(comparison, x))
    _write_numbers(folder, comparison)


def write_findings(folder: Path, analysis: Analysis) -> list[Path]:
    """Draw what an analysis of a study's runs has found, in its folder. Returns the PNG files. Raises DiskError."""
    comparison = compare_study(folder)
    found, _ = findings(comparison.runs)
    drawn = []
    for each in analysis.figures(found, figures.colours(comparison)):
        _picture(folder, comparison, each, option="--runs")
        drawn.append(folder / f"{each.stem}.png")
    return drawn


def write_report(folder: Path, comparison: Comparison, x: figures.X = "step") -> tuple[Path, Path]:
    """Write `report/index.html`, `report/report.md` and all figures into a folder, usually the study's; returns both.

    `x` is the figures' axis. Raises DiskError.
    """
    pages = folder / "report"
    _make(pages)
    reasons = why.reasons(comparison.runs, figures.colours(comparison))
    listed = [*illustrations(comparison, x), *reasons.illustrations]
    pictures = {each.stem: _picture(folder, comparison, each) for each in listed}
    _write_numbers(folder, comparison)
    built = document.build(comparison, pictures, why.section(reasons, pictures))
    page, text = pages / "index.html", pages / "report.md"
    write_atomically(page, html.render(built).encode(), _OPTION)
    write_atomically(text, markdown.render(built).encode(), _OPTION)
    return page, text


def _make(folder: Path) -> None:
    with disk_errors(folder, _OPTION):
        folder.mkdir(parents=True, exist_ok=True)


def _picture(folder: Path, comparison: Comparison, illustration: Illustration, option: str = _OPTION) -> Picture:
    """Draw an illustration and write its files into the folder."""
    drawing = figures.save(figures.entitled(illustration, comparison), folder / illustration.stem, option)
    return picture(illustration, drawing)


def _write_numbers(folder: Path, comparison: Comparison) -> None:
    write_atomically(folder / "curves.csv", charts.curve_points(comparison).encode(), _OPTION)
    write_json(folder / "summary.json", comparison_values(comparison), _OPTION)
