"""The report's section on why: what the analyses of a study's runs have found, in words, figures and tables."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from resnet_lab.analysis.results import Identity, Paths, Responses
from resnet_lab.report import figures, surface_figures, why_figures
from resnet_lab.report.blocks import Block, Bullets, Heading, Picture, Section, Table, Text
from resnet_lab.report.findings import Finding, constructions, findings, gradients_of, landscapes_of, lines_of, newest
from resnet_lab.report.why_tables import (
    gradient_table,
    identity_table,
    landscape_table,
    line_table,
    path_table,
    response_table,
)
from resnet_lab.study.compare import Comparison
from resnet_lab.study.differences import MATTERS
from resnet_lab.text import percent

_BN = {"moving": "moving averages", "batch": "batch statistics"}


def section(comparison: Comparison, drawings: Mapping[str, str]) -> Section | None:
    """The report's section on why, of the analyses that there are; None where there are none. `drawings` are `drawn` as SVG."""
    found, faults = findings(comparison.runs)
    blocks: list[Block] = []
    for words in (_identity, _responses, _gradients, _paths, _landscape, _line):
        blocks += words(found, drawings)
    if faults:
        blocks.append(Bullets(tuple(faults)))
    return Section("Why", tuple(blocks)) if blocks else None


def drawn(comparison: Comparison) -> dict[str, Figure]:
    """The figures of what has been found, by the stems of their files in the study's folder."""
    colours = figures.colours(comparison)
    return {
        stem: figures.entitle(figure, comparison, what) for stem, what, figure in _drawn(findings(comparison.runs)[0], colours)
    }


def _drawn(found: Sequence[Finding], colours: why_figures.Colours) -> Iterator[tuple[str, str, Figure]]:
    """Stem, title and figure."""
    for (shallow, deep), pairs in constructions(found).items():
        figure = why_figures.identity(pairs, colours, shallow)
        yield f"identity-{shallow}-to-{deep}", f"from depth {shallow} to {deep} by construction", figure
    if responses := newest(found, Responses):
        yield "responses", "layer responses", why_figures.responses(responses, colours)
    if gradients := gradients_of(found):
        yield "gradients", "gradients by layer", why_figures.gradients(gradients, colours)
    if paths := newest(found, Paths):
        yield "paths", "networks with blocks removed", surface_figures.paths(paths, colours, found[0].run.config.data.guess_error)
    for (dims, bn), landscapes in landscapes_of(found).items():
        stem, title = f"landscape-{dims}d-{bn}", f"training loss around the networks, {_BN[bn]}"
        if dims == 1:
            yield stem, title, surface_figures.slices(landscapes, colours)
        else:
            planes = {name: result for name, (_, result) in landscapes.items()}
            yield stem, title, surface_figures.contours(planes)
            yield f"{stem}-surface", title, surface_figures.surfaces(planes)
    if lines := lines_of(found):
        yield "lines", "straight lines between networks", surface_figures.lines(lines, colours)


def _identity(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    pairs = constructions(found)
    if not pairs:
        return
    yield Heading("The identity construction")
    yield Text(
        "The existence argument of the paper's Section 1: a deeper network can copy the shallower one and let the added layers "
        "be the identity. Here it is carried out on the trained networks of this study: at the end of each stage, blocks of "
        "Dirac kernels are added to a plain network, blocks with a zero branch to a residual one."
    )
    yield Bullets(tuple(sentence for (shallow, _), results in pairs.items() for sentence in identity_sentences(shallow, results)))
    for stem in (stem for stem in drawings if stem.startswith("identity-")):
        description = "Clean training error of the shallow network, the deep one from scratch, by construction, and trained on."
        yield _picture(drawings, stem, description, identity_table(found))


def identity_sentences(shallow: int, results: Mapping[str, Sequence[Identity]]) -> Iterator[str]:
    """The answer for each variant, in a sentence, and how exact the construction is."""
    for variant, identities in results.items():
        depth = identities[0].depth
        constructed = statistics.fmean(each.constructed.train for each in identities)
        scratch = [each.scratch.train for each in identities if each.scratch]
        built = f"{variant}-{shallow} gives a {variant} network of depth {depth} with {percent(constructed)} training error"
        if not scratch:
            yield f"The solution exists: {built}."
            continue
        by_sgd = statistics.fmean(scratch)
        found = (
            "The solution exists, and SGD did not find it"
            if by_sgd - constructed > MATTERS
            else "SGD found a solution at least as good"
            if by_sgd <= constructed
            else f"SGD came within {100 * (by_sgd - constructed):.2f} points of the solution that exists"
        )
        yield f"{found}: {built}; trained from scratch by the same recipe, {variant}-{depth} has {percent(by_sgd)}."


def _responses(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    if "responses" not in drawings:
        return
    yield Heading("Layer responses")
    yield Text(
        "As in Figure 7 of He et al. 2015: the standard deviation of each 3x3 layer's output after BN and before the ReLU or the "
        "addition, over test images, channels and positions, in evaluation mode. The paper argues that residual functions are "
        "closer to zero than non-residual ones, and that a single layer of a deeper residual network changes the signal less."
    )
    description = "Standard deviation of layer responses, by layer on the left and by size on the right."
    yield _picture(drawings, "responses", description, response_table(found))


def _gradients(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    if "gradients" not in drawings:
        return
    yield Heading("Gradients")
    yield Text(
        "The paper's remark (Section 4.1): with BN the gradients of plain networks keep healthy norms, so vanishing gradients "
        "are unlikely to be the cause. Norms of the gradient of the mean training loss over the same batches for every network, "
        "augmented and in training mode, without weight decay."
    )
    description = "Gradient norms by layer on a logarithmic scale: weights on the left, block outputs on the right."
    yield _picture(drawings, "gradients", description, gradient_table(found))


def _paths(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    if "paths" not in drawings:
        return
    yield Heading("Blocks removed")
    yield Text(
        "As in Veit et al. 2016: test error without each block in turn (dotted: with all blocks), and without some blocks drawn "
        "at random (dotted: chance). A residual block leaves its shortcut. A plain block leaves what its residual counterpart "
        "would, so both members of a pair lose the same layers."
    )
    description = "Test error without one block, by block, and against the share of blocks that are removed at random."
    yield _picture(drawings, "paths", description, path_table(found))


def _landscape(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    stems = [stem for stem in drawings if stem.startswith("landscape-")]
    if not stems:
        return
    yield Heading("The loss surface")
    yield Text(
        "Training loss around the trained networks along random directions, scaled filter by filter to the network's own weights "
        "(Li et al. 2018). Networks with the same shapes share the drawn directions. Two directions of many thousands show how "
        "rough a surface is, and not where minima lie."
    )
    for stem in stems:
        form = "as surfaces" if stem.endswith("-surface") else "along one direction" if "-1d-" in stem else "as contours"
        description = f"Training loss around every network, {form}, on one scale."
        yield _picture(drawings, stem, description, landscape_table(found))


def _line(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    if "lines" not in drawings:
        return
    yield Heading("Straight lines between networks")
    yield Text(
        "Loss and error of networks whose parameters lie on the straight line between two networks, and a little beyond. A "
        "barrier between two solutions shows that they lie in different basins, as far as straight lines can tell."
    )
    yield _picture(drawings, "lines", "Loss and error on the line between two networks.", line_table(found))


def _picture(drawings: Mapping[str, str], stem: str, description: str, table: Table) -> Picture:
    return Picture(drawings[stem], f"../{stem}.svg", description, table)
