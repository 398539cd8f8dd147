"""Writes the report, figures and tables of a study to its folder or another one."""

from collections.abc import Callable
from pathlib import Path

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import findings
from resnet_lab.errors import ConfigError
from resnet_lab.presentation.blocks import Illustration, X
from resnet_lab.record.checksums import write_files
from resnet_lab.report import document, figures, html, markdown, why
from resnet_lab.report.charts import numbers
from resnet_lab.report.illustrations import curves, illustrations
from resnet_lab.report.paper_figures import paper_figures
from resnet_lab.report.source import is_made_from, source_mark
from resnet_lab.report.verify import verified_on
from resnet_lab.study.compare import Comparison, compare_study
from resnet_lab.study.digest import mark

_OPTION = "--out"  # chooses another folder in `compare` and `report`


def write_comparison(comparison: Comparison, x: X = "step", out: Path | None = None) -> None:
    """Write `curves.png`, `.svg`, `.pdf`, `.csv` and `summary.json` to `out`, by default the study's folder. Raises DiskError."""
    files = _draw(comparison, curves(comparison, x))
    write_files(out or comparison.study.path, files | numbers(comparison), _OPTION)


def write_findings(folder: Path, analysis: Analysis) -> list[Path]:
    """Draw the figures of an analysis from all its results in a study, to the study's folder.

    Returns the paths of the PNG files. Raises DiskError.
    """
    comparison = compare_study(folder)
    results, _ = findings(comparison.runs)
    paths = []
    for illustration in analysis.figures(results, figures.colours(comparison)):
        files = _draw(comparison, illustration)
        write_files(folder, files)
        paths.append(folder / f"{illustration.stem}.png")
    return paths


def write_report(
    comparison: Comparison, x: X = "step", out: Path | None = None, show: Callable[[str], None] = lambda what: None
) -> tuple[Path, Path]:
    """Write `report/index.html`, `report/report.md` and all figures, with `x` as the horizontal axis of the curves.

    They go to `out`, by default the study's folder. If the files there were made from the same records by the same code, nothing
    is written. `show` is called with the title of each figure before it is drawn. Returns the paths of the HTML and the Markdown
    file. Raises DiskError.
    """
    folder = out or comparison.study.path
    html_path, markdown_path = folder / "report/index.html", folder / "report/report.md"
    verified = verified_on(comparison)
    source = source_mark(comparison, x, verified)
    if is_made_from(source, html_path, folder):
        return html_path, markdown_path
    reasons = why.reasons(comparison.runs, figures.colours(comparison))
    files, pictures = numbers(comparison), {}
    drawn = [*illustrations(comparison, x), *reasons.illustrations]
    for number, illustration in enumerate(drawn, 1):
        show(f"Drawing figure {number} of {len(drawn)}: {illustration.title}")
        files |= _draw(comparison, illustration)
        pictures[illustration.stem] = figures.on_page(illustration, comparison)
    content = document.build(comparison, pictures, why.section(reasons, pictures), verified, source)
    files |= {
        str(html_path.relative_to(folder)): html.render(content).encode(),
        str(markdown_path.relative_to(folder)): markdown.render(content).encode(),
    }
    write_files(folder, files, _OPTION)
    return html_path, markdown_path


def write_paper_figures(comparison: Comparison, x: X = "step", out: Path | None = None) -> tuple[list[Path], tuple[str, ...]]:
    """Write those of `paper/figure1.pdf`, `figure6.pdf` and `figure7.pdf` that the study has data for, to `out` or its folder.

    Returns their paths, and a sentence for each of the others. Raises ConfigError if there is data for none, and DiskError.
    """
    drawn, missing = paper_figures(comparison, x)
    if not drawn:
        raise ConfigError(" ".join(missing))
    folder, keywords = out or comparison.study.path, mark(comparison.records_digest)
    files = {f"paper/{name}.pdf": figures.rendered(figure, "pdf", keywords) for name, figure in drawn.items()}
    write_files(folder, files, _OPTION)
    return [folder / name for name in files], missing


def _draw(comparison: Comparison, illustration: Illustration) -> dict[str, bytes]:
    """Draw an illustration. Returns its PNG (200 dpi), SVG and PDF files by name."""
    figure, keywords = figures.entitled(illustration, comparison), mark(comparison.records_digest)
    return {
        f"{illustration.stem}.png": figures.rendered(figure, "png", keywords),
        f"{illustration.stem}.svg": figures.svg(figure, keywords).encode(),
        f"{illustration.stem}.pdf": figures.rendered(figure, "pdf", keywords),
    }
