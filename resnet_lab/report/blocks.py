"""What a report is made of: sections of text, tables and figures, which HTML and Markdown both render."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph."""

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
class Picture:
    """A figure: SVG for the page, a file name for Markdown, and what it shows in words."""

    svg: str
    file: str
    description: str


Block = Text | Bullets | Table | Picture


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
    """A report: its title, what must be read first, and its sections."""

    title: str
    notices: tuple[str, ...]
    sections: tuple[Section, ...]
