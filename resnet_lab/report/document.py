"""The content of a study's report: sections of text, tables and figures, rendered as HTML and as Markdown."""

import shlex
from collections.abc import Mapping
from importlib.metadata import version

from resnet_lab.presentation.blocks import Block, Bullets, Document, Picture, Section, Table, Text
from resnet_lab.record.sequential import Design
from resnet_lab.report import figures
from resnet_lab.report.details import details
from resnet_lab.report.headline import headline
from resnet_lab.report.tables import case_table, difference_table, error_table, spread
from resnet_lab.study.compare import Comparison
from resnet_lab.study.differences import MATTERS, SEED_MARGIN
from resnet_lab.study.digest import mark
from resnet_lab.study.finding import by_effect
from resnet_lab.study.published import NUMBERS
from resnet_lab.study.sequential import OVERALL_ERROR
from resnet_lab.study.verdict import CASES_AND_LOOKS, verdict_on_case


def build(
    comparison: Comparison,
    pictures: Mapping[str, Picture],
    reasons: Section | None = None,
    verified: str | None = None,
    source: str = "",
) -> Document:
    """Build the report of a study, from the study's files alone.

    `pictures` are by stem; `reasons` is the section on the analyses, if there are any; `verified` is the date on which
    `resnet-lab verify` found no fault in these records, if it did; `source` is the mark of what the report is made from.
    """
    sections = [_curves(pictures), _errors(comparison, pictures)]
    if comparison.differences:
        sections.append(_differences(comparison))
    if reasons is not None:
        sections.append(reasons)
    if comparison.cases:
        sections.append(_cases(comparison, pictures))
    if figures.published_depths(comparison):
        sections.append(_published(comparison))
    sections.append(_verdict(comparison))
    if comparison.runs:
        sections += details(comparison, pictures, verified)
    return Document(
        title=f"Plain and residual networks: {comparison.study.name}",
        warnings=_warnings(comparison),
        headline=headline(comparison, pictures),
        sections=tuple(sections),
        origin=_origin(comparison),
        mark=f"{mark(comparison.records_digest)} {source}".strip(),
    )


def _warnings(comparison: Comparison) -> tuple[str, ...]:
    if not comparison.stand_in:
        return ()
    return (
        f"{figures.STAND_IN_NOTICE}. These networks were trained on procedurally generated shapes, so nothing here is a "
        "result on CIFAR-10. Download the real images with `resnet-lab data --download`.",
    )


def _origin(comparison: Comparison) -> str:
    """When the runs were trained (UTC), and the command and version that made the report."""
    days = sorted(event.time[:10] for run in comparison.runs for event in run.events)
    trained = f"Trained {days[0]} to {days[-1]}. " if days and days[0] != days[-1] else f"Trained {days[0]}. " if days else ""
    return f"{trained}Made by `resnet-lab report {shlex.quote(comparison.study.name)}`, version {version('resnet-lab')}."


def _verdict(comparison: Comparison) -> Section:
    blocks: list[Block] = [Bullets(comparison.verdict)]
    if comparison.gaps and comparison.study.design is not None:
        blocks.append(Text(_sequential_rule(comparison.study.design)))
    elif comparison.gaps:
        blocks.append(
            Text(
                "Degradation means that the deepest network of a kind has a higher clean training error at its last evaluation "
                "than the shallowest. With three or more seeds, it counts as shown if the 95 % interval of the difference lies "
                f"above zero, and as not shown if the interval lies below {100 * MATTERS:g} points. With one or two seeds, the "
                f"interval is {100 * SEED_MARGIN:g} points, or two binomial standard errors if that is more, on either side of "
                "each difference: 1.7 times the largest standard deviation over the seeds of a reference study."
            )
        )
    if comparison.missing:
        blocks.append(Bullets(comparison.missing))
    return Section("Verdict and its rule", tuple(blocks))


def _sequential_rule(design: Design) -> str:
    """How the verdict is decided in a study whose seeds are added until it is."""
    return (
        "Degradation means that the deepest network of a kind has a higher clean training error at its last evaluation than the "
        "shallowest. Seeds were added until the verdict on plain nets was decided (`sweep --until-decided`): it is looked at "
        f"with {design.first_look} seeds and with each further one, up to {design.max_seeds}. Degradation counts as shown if the "
        "interval of the difference lies above zero at one of these looks, and as not shown if it lies below "
        f"{100 * MATTERS:g} points. The intervals are wider than Student's 95 % intervals (alpha spending, Lan and DeMets 1983): "
        f"the probability that one of them, at any look, misses the true mean is at most {100 * OVERALL_ERROR:g} %. Every number "
        "of seeds counts as a look, whether or not anyone looked."
    )


def _curves(pictures: Mapping[str, Picture]) -> Section:
    blocks: list[Block] = [
        pictures["curves"],
        Text(
            "As in Figure 6 of He et al. 2015, where the test error is bold. Bold and dashed: clean training error; solid: test "
            "error, both in evaluation mode. Faint: running training error (augmented images, training mode), averaged since the "
            "previous record, and over neighbouring records if there are many. With several seeds, lines are means over seeds at "
            "the steps recorded by all of them, and bands show the range from the lowest to the highest seed. Dotted: lr drops. "
            "All points are in the study's curves.csv."
        ),
    ]
    if "degradation" in pictures:
        blocks += [
            pictures["degradation"],
            Text("As in Figure 1 of He et al. 2015. If the deeper network were overfitting, its training error would be lower."),
        ]
    return Section("Curves", tuple(blocks))


def _errors(comparison: Comparison, pictures: Mapping[str, Picture]) -> Section:
    if not comparison.cells:
        return Section("Errors", (Text("No run has finished yet."),))
    images = sorted({cell.train_images for cell in comparison.cells})
    number = " or ".join(f"{count:,}" for count in images)
    note = f"Clean training error: evaluation mode, no augmentation, on {number} training images."
    return Section("Errors", (error_table(comparison), pictures["depth"], Text(note)))


def _differences(comparison: Comparison) -> Section:
    unmatched = (Bullets(comparison.unmatched),) if comparison.unmatched else ()
    return Section("Paired differences", (difference_table(comparison), *unmatched))


def _cases(comparison: Comparison, pictures: Mapping[str, Picture]) -> Section:
    """What varied settings change: a summary, the figures, a sentence on each case, and the table with the rules."""
    summary = Bullets(tuple(by_effect(comparison.cases)))
    sentences = Bullets(tuple(" ".join(verdict_on_case(case)) for case in comparison.cases))
    drawn = [picture for stem, picture in pictures.items() if stem == "cases" or stem.startswith("cases-")]
    limit = f"{100 * MATTERS:g} points"
    rules = Text(
        "The change is the clean training error of a network with varied settings minus that of its base runs, which have none. "
        "With three or more seeds, a setting reduces or raises the error if the 95 % interval of the change lies below or above "
        f"zero. No effect is shown if the interval lies within {limit} of zero; otherwise, and with fewer seeds, the effect is "
        "undecided. A setting removes degradation if the base networks show it, if the setting reduces the error, and if the "
        f"95 % interval of the remaining gap to the shallowest base network lies below {limit} and below half of the gap without "
        "the setting. The shallowest network does not have the setting. A residual network is also compared with the plain "
        "network of its depth by these rules, if that degrades and the recipe is the same. Each interval is for its case alone: "
        "of twenty settings without any effect, one is expected to appear to have one."
    )
    looks = [Text(CASES_AND_LOOKS)] if comparison.study.design is not None else []
    summaries = [summary] if len(summary.items) > 1 else []
    return Section("What changes the error", (*summaries, *drawn, sentences, case_table(comparison), rules, *looks))


def _published(comparison: Comparison) -> Section:
    """Published errors beside ours."""
    ours = {(cell.variant, cell.depth): cell for cell in comparison.cells}
    rows = tuple(
        (
            f"{number.variant}-{number.depth}",
            number.source,
            f"{number.test_error:.2f}",
            "-" if number.train_error is None else f"{number.train_error:.2f}",
            spread(ours[number.variant, number.depth].test_error),
            spread(ours[number.variant, number.depth].train_error),
        )
        for number in NUMBERS
        if (number.variant, number.depth) in ours
    )
    caption = (
        "Error in percent. Sources measured training errors in different ways; ours is the clean training error of the last "
        "evaluation. No source reports plain networks over several seeds."
    )
    header = ("network", "source", "test, published", "training, published", "test, ours", "training, ours")
    return Section("Paper against ours", (Table(caption, header, rows),))
