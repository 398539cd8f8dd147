"""The report's section "Why": the findings of the analyses of a study's runs, as sentences, figures and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnet_lab.analysis.definition import Analysis
from resnet_lab.analysis.registry import analyses, findings
from resnet_lab.presentation.blocks import Block, Bullets, Colours, Heading, Illustration, Picture, Section, Text
from resnet_lab.record.store import Run


@dataclass(frozen=True)
class Part:
    """The findings of one analysis."""

    analysis: Analysis
    sentences: tuple[str, ...]
    illustrations: tuple[Illustration, ...]


@dataclass(frozen=True)
class Reasons:
    """The findings of all analyses of a study, and a sentence for each file that is not a valid result."""

    parts: tuple[Part, ...]
    faults: tuple[str, ...]

    @property
    def illustrations(self) -> list[Illustration]:
        """The figures of all parts."""
        return [illustration for part in self.parts for illustration in part.illustrations]


def reasons(runs: Sequence[Run], colours: Colours) -> Reasons:
    """Read the results of the analyses of these runs, and collect their findings."""
    results, faults = findings(runs)
    parts = (
        Part(analysis, tuple(analysis.sentences(results)), tuple(analysis.figures(results, colours))) for analysis in analyses()
    )
    return Reasons(tuple(part for part in parts if part.illustrations), tuple(faults))


def section(reasons: Reasons, pictures: Mapping[str, Picture]) -> Section | None:
    """The report's section "Why"; None if there are no findings. `pictures` are by stem."""
    blocks = [block for part in reasons.parts for block in _blocks(part, pictures)]
    if reasons.faults:
        blocks.append(Bullets(reasons.faults))
    return Section("Why", tuple(blocks)) if blocks else None


def _blocks(part: Part, pictures: Mapping[str, Picture]) -> Iterator[Block]:
    yield Heading(part.analysis.heading)
    yield Text(part.analysis.text)
    if part.sentences:
        yield Bullets(part.sentences)
    for illustration in part.illustrations:
        yield pictures[illustration.stem]
