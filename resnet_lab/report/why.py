"""The report's section on why: what the analyses of a study's runs have found, in words, figures and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import analyses, findings
from resnet_lab.presentation.blocks import Block, Bullets, Colours, Heading, Illustration, Picture, Section, Text
from resnet_lab.record.store import Run


@dataclass(frozen=True)
class Part:
    """What one analysis has found."""

    analysis: Analysis
    sentences: tuple[str, ...]
    illustrations: tuple[Illustration, ...]


@dataclass(frozen=True)
class Reasons:
    """What all analyses of a study have found, and a sentence for each file that is no result."""

    parts: tuple[Part, ...]
    faults: tuple[str, ...]

    @property
    def illustrations(self) -> list[Illustration]:
        """The figures of all parts."""
        return [each for part in self.parts for each in part.illustrations]


def reasons(runs: Sequence[Run], colours: Colours) -> Reasons:
    """What the analyses of these runs have found; reads their results."""
    found, faults = findings(runs)
    parts = (Part(each, tuple(each.sentences(found)), tuple(each.figures(found, colours))) for each in analyses())
    return Reasons(tuple(each for each in parts if each.illustrations), tuple(faults))


def section(reasons: Reasons, pictures: Mapping[str, Picture]) -> Section | None:
    """The report's section on why; None where nothing has been analysed. `pictures` are by stem."""
    blocks = [block for part in reasons.parts for block in _blocks(part, pictures)]
    if reasons.faults:
        blocks.append(Bullets(reasons.faults))
    return Section("Why", tuple(blocks)) if blocks else None


def _blocks(part: Part, pictures: Mapping[str, Picture]) -> Iterator[Block]:
    yield Heading(part.analysis.heading)
    yield Text(part.analysis.text)
    if part.sentences:
        yield Bullets(part.sentences)
    for each in part.illustrations:
        yield pictures[each.stem]
