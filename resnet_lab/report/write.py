"""From a study's folder to the files of its report."""

from pathlib import Path

from resnet_lab.compare import compare
from resnet_lab.record.store import disk_errors, read_study, write_atomically
from resnet_lab.report import document, figures, html, markdown


def write(study: Path) -> tuple[Path, Path]:
    """Write `report/index.html`, `report/report.md` and the figures beside it; returns both paths. Raises DiskError."""
    comparison = compare(study.name, *read_study(study))
    built = document.build(comparison)
    folder = study / "report"
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    figures.save(figures.curves(comparison), folder / "curves")
    page, text = folder / "index.html", folder / "report.md"
    write_atomically(page, html.render(built).encode())
    write_atomically(text, markdown.render(built).encode())
    return page, text
