"""Renders a document as Markdown, for pull requests and terminals."""

import re
from collections.abc import Iterator

from resnet_lab.presentation.blocks import Block, Bullets, Document, Heading, Headline, Picture, Table, Text
from resnet_lab.text import printable


def render(document: Document) -> str:
    """Render the document, with pipe tables and figures linked by file name."""
    parts = [f"# {_inline(document.title)}"]
    parts += [f"> **{_inline(warning)}**" for warning in document.warnings]
    parts += _first_screen(document.headline)
    for section in document.sections:
        parts.append(f"## {section.title}")
        blocks = [_block(block) for block in section.blocks]
        parts += ["<details><summary>Show</summary>", *blocks, "</details>"] if section.folded else blocks
    parts += ["---", _inline(document.origin), f"<!-- {document.mark} -->"]
    return printable("\n\n".join(parts)) + "\n"


def _first_screen(headline: Headline) -> Iterator[str]:
    yield f"**{_inline(headline.finding)}**"
    if headline.chips:
        yield "\n".join(
            f"- {_inline(chip.subject)}: **{_inline(chip.status)}** ({_inline(chip.numbers)})" for chip in headline.chips
        )
    if headline.picture is not None:
        yield _block(headline.picture)
    if headline.numbers is not None:
        yield _block(headline.numbers)
    yield from map(_inline, headline.sentences)
    yield from (f"*{_inline(note)}*" for note in headline.notes)


def _block(block: Block) -> str:
    match block:
        case Text(text=text):
            return _inline(text)
        case Heading(text):
            return f"### {_inline(text)}"
        case Bullets(items):
            return "\n".join(f"- {_inline(item)}" for item in items)
        case Picture(file=file, description=description):
            return f"![{_inline(description)}]({file})"
        case Table(caption, header, rows):
            lines = [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
            return f"{_inline(caption)}\n\n" + "\n".join(lines)


def _row(cells: "list[str] | tuple[str, ...]") -> str:
    return "| " + " | ".join(_inline(cell).replace("|", "\\|") for cell in cells) + " |"


def _inline(text: str) -> str:
    """Escape markup in names and messages, except inside backticks, where none is interpreted."""
    parts = text.replace("\n", " ").split("`")
    if len(parts) % 2 == 0:  # an unpaired backtick
        return _escaped(text.replace("\n", " ")).replace("`", "\\`")
    return "`".join(part if index % 2 else _escaped(part) for index, part in enumerate(parts))


def _escaped(text: str) -> str:
    return re.sub(r"([<>\[\]*_#\\])", r"\\\1", text)
