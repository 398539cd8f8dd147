"""From what a study's folder says to the files that people look at."""

from pathlib import Path

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import findings
from resnet_lab.record.files import disk_errors, write_atomically, write_json
from resnet_lab.report import charts, document, figures, html, markdown, why
from resnet_lab.study.compare import Comparison, compare_study, comparison_values


def write_comparison(folder: Path, comparison: Comparison, x: figures.X = "step") -> None:
    """Write a study's `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json`. Raises DiskError."""
    figures.save(figures.curves(comparison, x), folder / "curves")
    _write_numbers(folder, comparison)


def write_findings(folder: Path, analysis: Analysis) -> list[Path]:
    """Draw what an analysis of a study's runs has found, in its folder. Returns the PNG files. Raises DiskError."""
    comparison = compare_study(folder)
    part = why.part(analysis, findings(comparison.runs)[0])
    drawn = why.drawn([part], comparison)
    for name, figure in drawn.items():
        figures.save(figure, folder / name)
    return [folder / f"{name}.png" for name in drawn]


def write_report(folder: Path, comparison: Comparison, x: figures.X = "step") -> tuple[Path, Path]:
    """Write `report/index.html`, `report/report.md` and all figures, `x` being their axis; returns both. Raises DiskError."""
    reasons = why.reasons(comparison.runs)
    drawn = figures.drawn(comparison, x) | why.drawn(reasons.parts, comparison)
    drawings = {name: figures.save(figure, folder / name) for name, figure in drawn.items()}
    _write_numbers(folder, comparison)
    built = document.build(comparison, drawings, why.section(reasons, drawings))
    pages = folder / "report"
    with disk_errors(pages):
        pages.mkdir(exist_ok=True)
    page, text = pages / "index.html", pages / "report.md"
    write_atomically(page, html.render(built).encode())
    write_atomically(text, markdown.render(built).encode())
    return page, text


def _write_numbers(folder: Path, comparison: Comparison) -> None:
    write_atomically(folder / "curves.csv", charts.curve_points(comparison).encode())
    write_json(folder / "summary.json", comparison_values(comparison))
