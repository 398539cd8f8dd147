"""Writes the report, figures and tables of a study to its folder or another one."""

from pathlib import Path

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import findings
from resnet_lab.presentation.blocks import Illustration, Picture, picture
from resnet_lab.record.files import disk_errors, write_atomically, write_json
from resnet_lab.report import charts, document, figures, html, markdown, why
from resnet_lab.report.illustrations import curves, illustrations
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.values import comparison_values

_OPTION = "--out"  # chooses another folder in `compare` and `report`


def write_comparison(comparison: Comparison, x: figures.X = "step", out: Path | None = None) -> None:
    """Write `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json` to `out`, by default the study's folder. Raises DiskError."""
    folder = out or comparison.study.path
    _make(folder)
    _picture(folder, comparison, curves(comparison, x))
    _write_numbers(folder, comparison)


def write_findings(folder: Path, analysis: Analysis) -> list[Path]:
    """Draw the figures of an analysis from all its results in a study, to the study's folder.

    Returns the paths of the PNG files. Raises DiskError.
    """
    comparison = compare_study(folder)
    results, _ = findings(comparison.runs)
    paths = []
    for illustration in analysis.figures(results, figures.colours(comparison)):
        _picture(folder, comparison, illustration, option="--runs")
        paths.append(folder / f"{illustration.stem}.png")
    return paths


def write_report(comparison: Comparison, x: figures.X = "step", out: Path | None = None) -> tuple[Path, Path]:
    """Write `report/index.html`, `report/report.md` and all figures, with `x` as the horizontal axis of the curves.

    They go to `out`, by default the study's folder. Returns the paths of the HTML and the Markdown file. Raises DiskError.
    """
    folder = out or comparison.study.path
    pages = folder / "report"
    _make(pages)
    reasons = why.reasons(comparison.runs, figures.colours(comparison))
    drawn = [*illustrations(comparison, x), *reasons.illustrations]
    pictures = {illustration.stem: _picture(folder, comparison, illustration) for illustration in drawn}
    _write_numbers(folder, comparison)
    content = document.build(comparison, pictures, why.section(reasons, pictures))
    html_file, markdown_file = pages / "index.html", pages / "report.md"
    write_atomically(html_file, html.render(content).encode(), _OPTION)
    write_atomically(markdown_file, markdown.render(content).encode(), _OPTION)
    return html_file, markdown_file


def _make(folder: Path) -> None:
    with disk_errors(folder, _OPTION):
        folder.mkdir(parents=True, exist_ok=True)


def _picture(folder: Path, comparison: Comparison, illustration: Illustration, option: str = _OPTION) -> Picture:
    """Draw an illustration and write its files to the folder."""
    figure = figures.entitled(illustration, comparison)
    return picture(illustration, figures.save(figure, folder / illustration.stem, option))


def _write_numbers(folder: Path, comparison: Comparison) -> None:
    write_atomically(folder / "curves.csv", charts.curve_points(comparison).encode(), _OPTION)
    write_json(folder / "summary.json", comparison_values(comparison), _OPTION)
