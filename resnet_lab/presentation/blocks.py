"""The document model of a report: sections of text, tables and figures, rendered as HTML and as Markdown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Network = tuple[str, int]  # ModelConfig.variant and depth
Colours = Mapping[Network, str]
Layout = Literal["wide", "narrow"]  # of a figure: panels side by side, or one below the other
Part = Literal["running", "training", "test"]  # of a curve: the running, the clean training, and the test error or loss
X = Literal["step", "epoch", "hours"]  # the horizontal axis of curves


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str

    @property
    def anchor(self) -> str:
        """The heading as a link target."""
        return _anchor(self.text)


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A caption, a header and rows of cells."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Series:
    """One line of a chart: one part of a run's errors and losses.

    `errors` are in percent; a loss is None where it is not finite; `hours` is the accumulated time of training and evaluation.
    """

    run: str
    network: str
    kind: str
    seed: int
    part: Part
    colour: str
    steps: tuple[int, ...]
    hours: tuple[float, ...]
    errors: tuple[float, ...]
    losses: tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """The data of a figure, from which the page's script draws an interactive chart; `drops` are the steps of the lr drops.

    A `notice` is part of the picture, also of a downloaded one.
    """

    series: tuple[Series, ...]
    epoch_steps: int
    drops: tuple[int, ...]
    notice: str = ""


@dataclass(frozen=True)
class Picture:
    """A drawn illustration: its title, its SVG for the HTML page in both layouts, and its file name for Markdown.

    `is_map`: its colours are a scale, which dark mode must not change.
    """

    title: str
    svg: str
    narrow_svg: str
    file: str
    description: str
    table: Table
    chart: Chart | None = None
    is_map: bool = False


@dataclass(frozen=True)
class Illustration:
    """A figure to be drawn: the stem of its file names, its title, a description in words, and the table of its numbers.

    With a `chart`, the page's script makes it interactive. For `is_map` see Picture.
    """

    stem: str
    title: str
    description: str
    table: Table
    draw: "Callable[[Layout], Figure]"
    chart: Chart | None = None
    is_map: bool = False


def picture(illustration: Illustration, svg: str, narrow_svg: str) -> Picture:
    """The illustration as a block of the report, which is stored in a subfolder of the figures' folder."""
    file = f"../{illustration.stem}.svg"
    return Picture(
        title=illustration.title,
        svg=svg,
        narrow_svg=narrow_svg,
        file=file,
        description=illustration.description,
        table=illustration.table,
        chart=illustration.chart,
        is_map=illustration.is_map,
    )


Block = Text | Heading | Bullets | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and the blocks below it. A `folded` section is for reference: the HTML page shows it on request."""

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False

    @property
    def anchor(self) -> str:
        """The heading as a link target."""
        return _anchor(self.title)


@dataclass(frozen=True)
class Chip:
    """How sure a part of the finding is: what it is about, its status (a few words), and the numbers behind it."""

    subject: str
    status: str
    numbers: str


@dataclass(frozen=True)
class Headline:
    """The first screen of a report: the finding in one sentence, further ones, the chips, a figure, its numbers, and notes."""

    finding: str
    sentences: tuple[str, ...]
    chips: tuple[Chip, ...]
    picture: Picture | None
    numbers: Table | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A report.

    `warnings` are displayed above everything else; `origin` says when the runs were trained, and by which command the report was
    made; `mark` states the digests of its records (`study.digest.mark`) and of all that it was made from.
    """

    title: str
    warnings: tuple[str, ...]
    headline: Headline
    sections: tuple[Section, ...]
    origin: str
    mark: str


def _anchor(text: str) -> str:
    return text.lower().replace(" ", "-")
