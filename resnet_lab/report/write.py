"""From what a study's folder says to the files that people look at."""

from pathlib import Path

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import findings
from resnet_lab.presentation.blocks import Illustration, Picture, picture
from resnet_lab.record.sums import write_listed
from resnet_lab.report import document, figures, html, markdown, why
from resnet_lab.report.charts import numbers
from resnet_lab.report.illustrations import curves, illustrations
from resnet_lab.report.verify import verified_on
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.digest import mark


def write_comparison(folder: Path, comparison: Comparison, x: figures.X = "step") -> None:
    """Write a study's `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json`. Raises DiskError."""
    files, _ = _draw(comparison, curves(comparison, x))
    write_listed(folder, files | numbers(comparison))


def write_findings(folder: Path, analysis: Analysis) -> list[Path]:
    """Draw what an analysis of a study's runs has found, in its folder. Returns the PNG files. Raises DiskError."""
    comparison = compare_study(folder)
    found, _ = findings(comparison.runs)
    drawn = []
    for each in analysis.figures(found, figures.colours(comparison)):
        files, _ = _draw(comparison, each)
        write_listed(folder, files)
        drawn.append(folder / f"{each.stem}.png")
    return drawn


def write_report(folder: Path, comparison: Comparison, x: figures.X = "step") -> tuple[Path, Path]:
    """Write `report/index.html`, `report/report.md` and all figures, `x` being their axis; returns both. Raises DiskError."""
    reasons = why.reasons(comparison.runs, figures.colours(comparison))
    listed = [*illustrations(comparison, x), *reasons.illustrations]
    files, pictures = numbers(comparison), {}
    for each in listed:
        drawn, pictures[each.stem] = _draw(comparison, each)
        files |= drawn
    built = document.build(comparison, pictures, why.section(reasons, pictures), verified_on(folder, comparison))
    page, text = "report/index.html", "report/report.md"
    files |= {page: html.render(built).encode(), text: markdown.render(built).encode()}
    write_listed(folder, files)
    return folder / page, folder / text


def _draw(comparison: Comparison, illustration: Illustration) -> tuple[dict[str, bytes], Picture]:
    """Draw an illustration: its files by name, PNG (200 dpi), SVG and PDF, and its block of the report."""
    figure, keywords = figures.entitled(illustration, comparison), mark(comparison.records_digest)
    svg = figures.svg(figure, keywords)
    contents = {
        "png": figures.rendered(figure, "png", keywords),
        "svg": svg.encode(),
        "pdf": figures.rendered(figure, "pdf", keywords),
    }
    return {f"{illustration.stem}.{suffix}": content for suffix, content in contents.items()}, picture(illustration, svg)
