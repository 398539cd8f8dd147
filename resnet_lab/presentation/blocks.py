"""What a report is made of: sections of text, tables and figures, which HTML and Markdown both render."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Network = tuple[str, int]  # ModelConfig.variant and depth
Colours = Mapping[Network, str]


@dataclass(frozen=True)
class Text:
    """A paragraph; the page shows one that leads larger."""

    text: str
    leads: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header; `caption` says what they are."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Series:
    """A line of a chart: `part` ("training" or "test") of one run. `values` are percent; `hours` are since the run's start."""

    run: str
    network: str
    kind: str
    seed: int
    part: str
    colour: str
    steps: tuple[int, ...]
    hours: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """The data of a figure, for the page's script to draw anew; `drops` are the steps at which the lr is divided."""

    series: tuple[Series, ...]
    epoch_steps: int
    drops: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """An illustration that has been drawn: SVG for the page, and a file name for Markdown."""

    svg: str
    file: str
    description: str
    table: Table
    chart: Chart | None = None


@dataclass(frozen=True)
class Illustration:
    """A figure that can be drawn: the stem of its files, its title, what it shows in words, and the table behind it.

    With a `chart` it can be explored where scripts run.
    """

    stem: str
    title: str
    description: str
    table: Table
    draw: "Callable[[], Figure]"
    chart: Chart | None = None


def picture(illustration: Illustration, svg: str) -> Picture:
    """The illustration as a block of the report, which lies in a folder below its figures."""
    file = f"../{illustration.stem}.svg"
    return Picture(svg, file, illustration.description, illustration.table, illustration.chart)


Block = Text | Heading | Bullets | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The heading as a link target."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Document:
    """A report: its title, what must be read first, its sections, and the mark of the records that it was made of."""

    title: str
    notices: tuple[str, ...]
    sections: tuple[Section, ...]
    mark: str
