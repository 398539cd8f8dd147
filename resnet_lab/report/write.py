"""Writes the report, figures and tables of a study to its folder."""

from pathlib import Path

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import findings
from resnet_lab.presentation.blocks import Illustration, Picture, picture
from resnet_lab.record.files import disk_errors, write_atomically, write_json
from resnet_lab.report import charts, document, figures, html, markdown, why
from resnet_lab.report.illustrations import curves, illustrations
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.values import comparison_values


def write_comparison(comparison: Comparison, x: figures.X = "step") -> None:
    """Write `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json` to the study's folder. Raises DiskError."""
    _picture(comparison, curves(comparison, x))
    _write_numbers(comparison)


def write_findings(folder: Path, analysis: Analysis) -> list[Path]:
    """Draw the figures of an analysis from all its results in a study, to the study's folder.

    Returns the paths of the PNG files. Raises DiskError.
    """
    comparison = compare_study(folder)
    results, _ = findings(comparison.runs)
    paths = []
    for illustration in analysis.figures(results, figures.colours(comparison)):
        _picture(comparison, illustration)
        paths.append(folder / f"{illustration.stem}.png")
    return paths


def write_report(comparison: Comparison, x: figures.X = "step") -> tuple[Path, Path]:
    """Write `report/index.html`, `report/report.md` and all figures, with `x` as the horizontal axis of the curves.

    Returns the paths of the HTML and the Markdown file. Raises DiskError.
    """
    reasons = why.reasons(comparison.runs, figures.colours(comparison))
    drawn = [*illustrations(comparison, x), *reasons.illustrations]
    pictures = {illustration.stem: _picture(comparison, illustration) for illustration in drawn}
    _write_numbers(comparison)
    content = document.build(comparison, pictures, why.section(reasons, pictures))
    folder = comparison.study.path / "report"
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    html_file, markdown_file = folder / "index.html", folder / "report.md"
    write_atomically(html_file, html.render(content).encode())
    write_atomically(markdown_file, markdown.render(content).encode())
    return html_file, markdown_file


def _picture(comparison: Comparison, illustration: Illustration) -> Picture:
    """Draw an illustration and write its files to the study's folder."""
    figure = figures.entitled(illustration, comparison)
    return picture(illustration, figures.save(figure, comparison.study.path / illustration.stem))


def _write_numbers(comparison: Comparison) -> None:
    write_atomically(comparison.study.path / "curves.csv", charts.curve_points(comparison).encode())
    write_json(comparison.study.path / "summary.json", comparison_values(comparison))
