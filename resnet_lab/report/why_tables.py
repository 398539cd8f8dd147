"""What analyses have found, as tables: for the terminal, and behind the figures of the report."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from resnet_lab.analysis.results import Identity, Landscape, Line, Paths, Responses
from resnet_lab.report.blocks import Table
from resnet_lab.report.findings import Finding, gradients_of, newest
from resnet_lab.report.why_figures import Network, gradient_means, mean_over_seeds


def response_table(found: Sequence[Finding]) -> Table:
    """A row a network: its layers' standard deviations, means over seeds."""
    rows = []
    for network, results in newest(found, Responses).items():
        stds = mean_over_seeds([[layer.std for layer in each.layers] for each in results])
        numbers = (statistics.fmean(stds), statistics.median(stds), min(stds), max(stds), stds[-1])
        rows.append((_name(network), *_provenance(results), *(f"{number:.3f}" for number in numbers)))
    header = ("network", "seeds", "step", "images", "mean", "median", "lowest", "highest", "last")
    caption = (
        "Standard deviation of layer responses: mean, median and extremes over layers, and the last layer; means over seeds."
    )
    return Table(caption, header, tuple(rows))


def gradient_table(found: Sequence[Finding]) -> Table:
    """A row a network and step: the first block against the last, each layer against that of the shallowest of its variant."""
    results = gradients_of(found)
    rows = []
    for network, by_step in results.items():
        shallowest = min(depth for variant, depth in results if variant == network[0])
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


def path_table(found: Sequence[Finding]) -> Table:
    """A row a network: error with all blocks, without one, and without some."""
    rows = []
    for network, results in newest(found, Paths).items():
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
                result.bn, "-" if middle is None else f"{middle:.3g}", f"{statistics.median(finite):.3g}" if finite else "-",
                f"{max(finite):.3g}" if finite else "-",
            ))  # fmt: skip
    header = ("run", "step", "points", "reach", "images", "BN", "middle", "median", "highest")
    return Table("Training loss on slices around networks, reach in filter norms.", header, tuple(rows))


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


def _provenance(results: Sequence[Responses] | Sequence[Paths]) -> tuple[str, str, str]:
    """Seeds, steps and images of results, as cells."""
    steps = sorted({each.step for each in results})
    images = sorted({each.images for each in results})
    return str(len(results)), " / ".join(f"{step:,}" for step in steps), " / ".join(f"{number:,}" for number in images)


def _name(network: Network) -> str:
    return f"{network[0]}-{network[1]}"
