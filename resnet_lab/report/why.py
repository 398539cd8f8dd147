"""What the analyses of a study's runs have found, as tables and as a section of the report. Every number is from their files."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from matplotlib.figure import Figure

from resnet_lab.compare import MATTERS, Comparison
from resnet_lab.record.store import Run
from resnet_lab.report import figures, surface_figures, why_figures
from resnet_lab.report.blocks import Block, Bullets, Heading, Picture, Section, Table, Text
from resnet_lab.report.why_figures import Network, gradient_means, mean_over_seeds
from resnet_lab.results import Gradients, Identity, Landscape, Line, Paths, Responses, Result, read

R = TypeVar("R", bound=Result)
_BN = {"moving": "moving averages", "batch": "batch statistics"}


@dataclass(frozen=True)
class Finding:
    """A result and the run that it is of."""

    run: Run
    result: Result

    @property
    def network(self) -> Network:
        """Kind and depth of the run."""
        return self.run.config.model.kind, self.run.config.model.depth


def findings(runs: Sequence[Run]) -> tuple[list[Finding], list[str]]:
    """All readable results of the runs, and a sentence for each file that is none."""
    found, faults = [], []
    for run in runs:
        results, unreadable = read(run.folder)
        found += [Finding(run, result) for result in results]
        faults += unreadable
    return found, faults


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
    for (shallow, deep), pairs in _constructions(found).items():
        figure = why_figures.identity(pairs, colours, shallow)
        yield f"identity-{shallow}-to-{deep}", f"from depth {shallow} to {deep} by construction", figure
    if responses := _newest(found, Responses):
        yield "responses", "layer responses", why_figures.responses(responses, colours)
    if gradients := _by_step(found):
        yield "gradients", "gradients by layer", why_figures.gradients(gradients, colours)
    if paths := _newest(found, Paths):
        yield "paths", "networks with blocks removed", surface_figures.paths(paths, colours)
    for (dims, bn), landscapes in _landscapes(found).items():
        stem, title = f"landscape-{dims}d-{bn}", f"training loss around the networks, {_BN[bn]}"
        if dims == 1:
            yield stem, title, surface_figures.slices(landscapes, colours)
        else:
            planes = {name: result for name, (_, result) in landscapes.items()}
            yield stem, title, surface_figures.contours(planes)
            yield f"{stem}-surface", title, surface_figures.surfaces(planes)
    if lines := _lines(found):
        yield "lines", "straight lines between networks", surface_figures.lines(lines, colours)


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


def response_table(found: Sequence[Finding]) -> Table:
    """A row a network: its layers' standard deviations, means over seeds."""
    rows = []
    for network, results in _newest(found, Responses).items():
        stds = mean_over_seeds([[layer.std for layer in each.layers] for each in results])
        numbers = (statistics.fmean(stds), statistics.median(stds), min(stds), max(stds), stds[-1])
        rows.append((_name(network), *_provenance(results), *(f"{number:.3f}" for number in numbers)))
    header = ("network", "seeds", "step", "images", "mean", "median", "lowest", "highest", "last")
    caption = (
        "Standard deviation of layer responses: mean, median and extremes over layers, and the last layer; means over seeds."
    )
    return Table(caption, header, tuple(rows))


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


def gradient_table(found: Sequence[Finding]) -> Table:
    """A row a network and step: the first block against the last, and each layer against that of the shallowest of its kind."""
    results = _by_step(found)
    rows = []
    for network, by_step in results.items():
        shallowest = min(depth for kind, depth in results if kind == network[0])
        for step, members in sorted(by_step.items()):
            weights, blocks = gradient_means(members, "weights"), gradient_means(members, "blocks")
            reference = results[network[0], shallowest].get(step, ())
            ratio = "-"
            if network[1] != shallowest and reference:
                layers = [layer.name for layer in members[0].weights], [layer.name for layer in reference[0].weights]
                each = deep_to_shallow(
                    dict(zip(layers[0], weights, strict=True)),
                    dict(zip(layers[1], gradient_means(reference, "weights"), strict=True)),
                )
                ratio = f"{_geometric_mean(each):.2f} ({min(each):.2f} to {max(each):.2f})"
            rows.append((
                _name(network), str(len(members)), f"{step:,}", f"{blocks[0]:.3g}", f"{blocks[-1]:.3g}",
                f"{blocks[0] / blocks[-1]:.2f}" if blocks[-1] else "-", ratio,
            ))  # fmt: skip
    header = ("network", "seeds", "step", "first block", "last block", "first / last", "weights, deep / shallow")
    return Table(
        "Gradient norms by the output of the first and the last block; means over batches and seeds. Deep / shallow: each "
        "convolution of the shallowest network of the kind against the deeper one's at the same place in its stage: geometric "
        "mean (lowest to highest) of the ratios.",
        header,
        tuple(rows),
    )


def deep_to_shallow(deep: Mapping[str, float], shallow: Mapping[str, float]) -> list[float]:
    """For each layer of the shallower network, the ratio to it of the deeper one's layer at the same place in its stage."""
    ratios = []
    stages, deep_stages = _by_stage(shallow), _by_stage(deep)
    for stage, norms in stages.items():
        others = deep_stages[stage]
        for index, norm in enumerate(norms):
            other = others[int((index + 0.5) / len(norms) * len(others))]
            ratios.append(other / norm if norm else math.nan)
    return ratios


def _by_stage(norms: Mapping[str, float]) -> dict[str, list[float]]:
    """Layers `stages.1.4.conv2.conv` by `stages.1`; the stem is a stage of its own."""
    found: dict[str, list[float]] = defaultdict(list)
    for name, norm in norms.items():
        found[".".join(name.split(".")[:2])].append(norm)
    return found


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values))) if all(value > 0 for value in values) else math.nan


def _identity(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    pairs = _constructions(found)
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
    """The answer for each kind, in a sentence, and how exact the construction is."""
    for kind, identities in results.items():
        depth = identities[0].depth
        constructed = statistics.fmean(each.constructed.train for each in identities)
        scratch = [each.scratch.train for each in identities if each.scratch]
        built = f"{kind}-{shallow} gives a {kind} network of depth {depth} with {_percent(constructed)} training error"
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
        yield f"{found}: {built}; trained from scratch by the same recipe, {kind}-{depth} has {_percent(by_sgd)}."


def identity_table(found: Sequence[Finding]) -> Table:
    """A row a construction, its errors and how exact it is."""
    rows = []
    for each in found:
        result = each.result
        if isinstance(result, Identity):
            after = result.continued.curve[-1] if result.continued and result.continued.curve else None
            rows.append((
                f"{each.run.name} to {result.depth}", f"{result.max_difference:.2g}", str(result.changed_predictions),
                f"{100 * result.noise.rms_difference / result.noise.rms_logits:.2g} %", f"{100 * result.shallow.train:.2f}",
                f"{100 * result.constructed.train:.2f}", f"{100 * result.scratch.train:.2f}" if result.scratch else "-",
                f"{100 * after.train:.2f} ({after.step:,})" if after else "-",
            ))  # fmt: skip
    results = [each.result for each in found if isinstance(each.result, Identity)]
    images = " / ".join(sorted({f"{each.train_images:,} training and {each.test_images:,} test images" for each in results}))
    header = ("construction", "largest difference", "changed", "noise", "shallow", "built", "scratch", "trained on")
    return Table(
        f"Largest difference of a logit in evaluation mode, and predictions changed, on {images}. Noise: root mean square "
        "difference of the logits in training mode, in percent of theirs. Then clean training error in percent: the shallow "
        "network, the deep one built from it, the deep one from scratch, the built one trained on for so many steps.",
        header,
        tuple(rows),
    )


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


def path_table(found: Sequence[Finding]) -> Table:
    """A row a network: error with all blocks, without one, and without some."""
    rows = []
    for network, results in _newest(found, Paths).items():
        single = [statistics.fmean(each) for each in zip(*([b.error for b in one.blocks] for one in results), strict=True)]
        numbers = [each.number for each in results[0].removals]
        half = min(numbers, key=lambda number: abs(number - len(single) / 2))
        draws = [error for one in results for each in one.removals if each.number == half for error in each.errors]
        rows.append((
            _name(network), *_provenance(results), f"{100 * statistics.fmean(each.baseline for each in results):.2f}",
            f"{100 * statistics.median(single):.2f}", f"{100 * max(single):.2f} ({single.index(max(single)) + 1})",
            f"{100 * statistics.fmean(draws):.2f} ({half} of {len(single)})",
        ))  # fmt: skip
    header = ("network", "seeds", "step", "images", "all blocks", "median of one", "worst (block)", "half removed")
    caption = (
        "Test error in percent with all blocks, without one of them (the median and the worst), and without about half of them, "
        "mean over draws; means over seeds."
    )
    return Table(caption, header, tuple(rows))


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


def landscape_table(found: Sequence[Finding]) -> Table:
    """A row a slice: the loss in the middle, and how it rises from there."""
    rows = []
    for each in found:
        result = each.result
        if isinstance(result, Landscape):
            reach, losses = max(result.coordinates), [loss for row in result.losses for loss in row]
            finite = [loss for loss in losses if loss is not None]
            middle = losses[len(losses) // 2]
            rows.append((
                each.run.name, f"{result.step:,}", f"{len(losses)} in {result.dims}-D", f"{reach:g}", f"{result.images:,}",
                result.bn, "-" if middle is None else f"{middle:.3g}", f"{statistics.median(finite):.3g}",
                f"{max(finite):.3g}",
            ))  # fmt: skip
    header = ("run", "step", "points", "reach", "images", "BN", "middle", "median", "highest")
    return Table("Training loss on slices around networks, reach in filter norms.", header, tuple(rows))


def _line(found: Sequence[Finding], drawings: Mapping[str, str]) -> Iterator[Block]:
    if "lines" not in drawings:
        return
    yield Heading("Straight lines between networks")
    yield Text(
        "Loss and error of networks whose parameters lie on the straight line between two networks, and a little beyond. A "
        "barrier between two solutions shows that they lie in different basins, as far as straight lines can tell."
    )
    yield _picture(drawings, "lines", "Loss and error on the line between two networks.", line_table(found))


def line_table(found: Sequence[Finding]) -> Table:
    """A row a line: training error at its ends and the highest between them."""
    rows = []
    for each in found:
        result = each.result
        if isinstance(result, Line):
            inside = [
                (error, place) for place, error in zip(result.positions, result.train_errors, strict=True) if 0 <= place <= 1
            ]
            top, where = max(inside)
            rows.append((
                f"{each.run.name} to {result.other}", f"{result.train_images:,} + {result.test_images:,}", result.bn,
                f"{100 * inside[0][0]:.2f}", f"{100 * top:.2f} at {where:.2f}", f"{100 * inside[-1][0]:.2f}",
            ))  # fmt: skip
    header = ("line", "images", "BN", "first point", "highest", "last point")
    caption = "Training error in percent at the first and the last point between the two networks, and the highest between them."
    return Table(caption, header, tuple(rows))


def _landscapes(found: Sequence[Finding]) -> dict[tuple[int, str], dict[str, tuple[Network, Landscape]]]:
    """The newest slices by dimensions and way of BN, and by run, plain first."""
    slices: dict[tuple[int, str], dict[str, tuple[Network, Landscape]]] = {}
    for each in sorted(found, key=lambda each: (_place(each.network), each.run.name)):
        if isinstance(each.result, Landscape):
            slices.setdefault((each.result.dims, each.result.bn), {})[each.run.name] = (each.network, each.result)
    return dict(sorted(slices.items()))


def _lines(found: Sequence[Finding]) -> dict[str, tuple[Network, Line]]:
    return {
        f"{each.run.name} to {each.result.other}": (each.network, each.result)
        for each in sorted(found, key=lambda each: (_place(each.network), each.run.name))
        if isinstance(each.result, Line)
    }


def _constructions(found: Sequence[Finding]) -> dict[tuple[int, int], dict[str, list[Identity]]]:
    """Each run's newest constructions by shallow and deep depth, and by kind."""
    newest = {
        (each.network[1], each.result.depth, each.network[0], each.run.name): each.result
        for each in found  # in the order of steps
        if isinstance(each.result, Identity)
    }
    pairs: dict[tuple[int, int], dict[str, list[Identity]]] = {}
    for (shallow, depth, kind, _), result in sorted(
        newest.items(), key=lambda item: (item[0][:2], item[0][2] != "plain", item[0])
    ):
        pairs.setdefault((shallow, depth), {}).setdefault(kind, []).append(result)
    return pairs


def _newest(found: Sequence[Finding], kind: type[R]) -> dict[Network, list[R]]:
    """The result of each run's newest analysed step, by network, plain first."""
    by_run = {(each.network, each.run.name): each.result for each in found if isinstance(each.result, kind)}
    networks: dict[Network, list[R]] = {}
    for (network, _), result in sorted(by_run.items(), key=lambda item: (_place(item[0][0]), item[0][1])):
        networks.setdefault(network, []).append(result)
    return networks


def _by_step(found: Sequence[Finding]) -> dict[Network, dict[int, list[Gradients]]]:
    networks: dict[Network, dict[int, list[Gradients]]] = {}
    for each in sorted(found, key=lambda each: (_place(each.network), each.run.name)):
        if isinstance(each.result, Gradients):
            networks.setdefault(each.network, {}).setdefault(each.result.step, []).append(each.result)
    return networks


def _place(network: Network) -> tuple[bool, int]:
    return network[0] != "plain", network[1]


def _provenance(results: Sequence[Responses] | Sequence[Paths]) -> tuple[str, str, str]:
    """Seeds, steps and images of results, as cells."""
    steps = sorted({each.step for each in results})
    images = sorted({each.images for each in results})
    return str(len(results)), " / ".join(f"{step:,}" for step in steps), " / ".join(f"{number:,}" for number in images)


def _name(network: Network) -> str:
    return f"{network[0]}-{network[1]}"


def _picture(drawings: Mapping[str, str], stem: str, description: str, table: Table) -> Picture:
    return Picture(drawings[stem], f"../{stem}.svg", description, table)


def _percent(error: float) -> str:
    return f"{100 * error:.2f} %"
