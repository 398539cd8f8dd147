"""Build the documentation as a site in build/site: python docs/build.py.

The site consists of the pages and the files that they link to, all at the same places as in the repository, so a link that works
there works on the site.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "build" / "pages"  # docs_dir in mkdocs.yml
PAGES = ("*.md", "docs/*.md", "benchmarks/*.md", "reference/*.md", "reference/*/report/*.md")
ASSETS = ("docs/iframe-worker.js",)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?:\]\(|src=\")([^)\"\s]+)")


def pages() -> list[Path]:
    """All pages of the site."""
    return sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file and the anchor, or an empty string, of each relative link and picture of a page."""
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in target and not target.startswith("mailto:"):
            name, _, anchor = target.partition("#")
            yield (page.parent / name).resolve() if name else page, anchor


def collect() -> None:
    """Copy the pages and the files that they link to. Raises FileNotFoundError if one is missing."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    linked = {path for page in pages() for path, _ in links(page)}
    for path in sorted({*pages(), *linked, *(ROOT / asset for asset in ASSETS)}):
        target = SOURCE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            shutil.copyfile(path, target)


def main() -> int:
    """Build the site; the exit code is not 0 if a link to a page or heading is broken."""
    collect()
    return subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
