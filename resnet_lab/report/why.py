"""The report's section on why: what the analyses of a study's runs have found, in words, figures and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from resnet_lab.analysis.definition import Analysis, Findings
from resnet_lab.analysis.registry import analyses, findings
from resnet_lab.presentation.blocks import Block, Bullets, Heading, Illustration, Picture, Section, Text
from resnet_lab.record.store import Run
from resnet_lab.report import figures
from resnet_lab.study.compare import Comparison


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


def reasons(runs: Sequence[Run]) -> Reasons:
    """Read the results of the runs, once."""
    found, faults = findings(runs)
    parts = (part(analysis, found) for analysis in analyses())
    return Reasons(tuple(each for each in parts if each.illustrations), tuple(faults))


def part(analysis: Analysis, found: Findings) -> Part:
    """What one analysis has found."""
    return Part(analysis, tuple(analysis.sentences(found)), tuple(analysis.figures(found)))


def drawn(parts: Sequence[Part], comparison: Comparison) -> dict[str, Figure]:
    """The figures of what has been found, by the stems of their files in the study's folder."""
    colours = figures.colours(comparison)
    return {
        each.stem: figures.entitle(each.draw(colours), comparison, each.title) for part in parts for each in part.illustrations
    }


def section(reasons: Reasons, drawings: Mapping[str, str]) -> Section | None:
    """The report's section on why; None where nothing has been analysed. `drawings` are the figures as SVG, by stem."""
    blocks = [block for part in reasons.parts for block in _blocks(part, drawings)]
    if reasons.faults:
        blocks.append(Bullets(reasons.faults))
    return Section("Why", tuple(blocks)) if blocks else None


def _blocks(part: Part, drawings: Mapping[str, str]) -> Iterator[Block]:
    yield Heading(part.analysis.heading)
    yield Text(part.analysis.text)
    if part.sentences:
        yield Bullets(part.sentences)
    for each in part.illustrations:
        yield Picture(drawings[each.stem], f"../{each.stem}.svg", each.description, each.table)
