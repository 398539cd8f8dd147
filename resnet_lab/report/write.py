"""From a study's folder to the files that people look at."""

from pathlib import Path

from resnet_lab.compare import Comparison, compare_study, comparison_values
from resnet_lab.record.files import disk_errors, write_atomically, write_json
from resnet_lab.report import charts, document, figures, html, markdown, why


def write_comparison(study: Path, comparison: Comparison, x: figures.X = "step") -> None:
    """Write a study's `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json`. Raises DiskError."""
    figures.save(figures.curves(comparison, x), study / "curves")
    write_atomically(study / "curves.csv", charts.curve_points(comparison).encode())
    write_json(study / "summary.json", comparison_values(comparison))


def write_findings(study: Path, stem: str = "") -> list[Path]:
    """Draw what the analyses of a study's runs have found, or the figures whose names begin with `stem`, in its folder.

    Returns the PNG files. Raises DiskError.
    """
    comparison = compare_study(study)
    drawn = why.drawings(comparison, why.findings(comparison.runs)[0])
    return [figures.save(figure, study / name)[0] for name, figure in drawn.items() if name.startswith(stem)]


def write_report(study: Path, x: figures.X = "step") -> tuple[Path, Path]:
    """Compare a study, and write `report/index.html` and `report/report.md` with its figures; returns both. Raises DiskError."""
    comparison = compare_study(study)
    write_comparison(study, comparison, x)
    figures.save(figures.traces(comparison, x), study / "traces")
    if comparison.cells:
        figures.save(figures.by_depth(comparison), study / "depth")
    if document.has_figure_1(comparison):
        figures.save(figures.degradation(comparison, x), study / "degradation")
    write_findings(study)
    built = document.build(comparison, x)
    folder = study / "report"
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    page, text = folder / "index.html", folder / "report.md"
    write_atomically(page, html.render(built).encode())
    write_atomically(text, markdown.render(built).encode())
    return page, text
