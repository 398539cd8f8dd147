"""`resnet-lab analyze`: why, asked of trained networks."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from resnet_lab.analysis.results import Identity, Landscape, Line, Result, save
from resnet_lab.cli import display
from resnet_lab.cli.options import DataDir, Device, Json, Runs, Threads, stop_signals
from resnet_lab.cli.watch import ended_by_ctrl_c
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, find_runs, find_study, run_folders
from resnet_lab.text import duration

if TYPE_CHECKING:
    from resnet_lab.analysis.subject import Subject
    from resnet_lab.report.blocks import Table
    from resnet_lab.report.findings import Finding

app = typer.Typer(help="Ask trained networks why plain ones degrade.", no_args_is_help=True)

RunsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN]...", help="Runs as STUDY/RUN or folders, or studies (default: the newest study)."),
]
At = Annotated[
    int | None,
    typer.Option("--at", min=0, help="The checkpoint's step; 0: the initial network (default: the newest checkpoint)."),
]
BatchNorm = Annotated[
    Literal["moving", "batch"],
    typer.Option("--bn", help="BN by the moving averages, or by the statistics of each batch of 250 images."),
]
Fast = Annotated[bool, typer.Option("--fast", help="A look within a minute, on fewer images or batches.")]


@app.command()
def responses(
    names: RunsArgument = None,
    at: At = None,
    fast: Fast = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """How strongly each layer responds, as in Fig. 7, on all test images: CIFAR's take half a minute at depth 20 on a core."""
    from resnet_lab.analysis import responses as module
    from resnet_lab.report.why_tables import response_table

    found = _load(_folders(runs, names), at, data_dir, device, threads)
    results = _each(found, lambda subject: module.responses(subject, module.FAST_IMAGES if fast else None))
    _show(results, response_table, as_json=as_json)


@app.command()
def gradients(
    names: RunsArgument = None,
    at: At = None,
    fast: Fast = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Gradient norms by layer over the run's first 16 batches: a few seconds at depth 20, half a minute at 56, on a core."""
    from resnet_lab.analysis import gradients as module
    from resnet_lab.report.why_tables import gradient_table

    found = _load(_folders(runs, names), at, data_dir, device, threads)
    results = _each(found, lambda subject: module.gradients(subject, module.FAST_BATCHES if fast else module.BATCHES))
    _show(results, gradient_table, as_json=as_json)


@app.command()
def identity(
    names: RunsArgument = None,
    depth: Annotated[
        int | None, typer.Option(help="Depth of the construction (default: those of the deeper runs of the same kind and seed).")
    ] = None,
    continue_steps: Annotated[
        int | None, typer.Option(min=1, help="Train on from the construction for so many steps of the study's recipe.")
    ] = None,
    at: At = None,
    fast: Fast = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Build the deeper network that computes what the shallowest of each kind and seed does, and compare it with SGD's.

    All training and test images: for CIFAR about five minutes from depth 20 to 56, on a core. With --continue-steps as long as
    training takes; Ctrl-C saves a checkpoint, and the same command goes on.
    """
    from resnet_lab.analysis import identity as module
    from resnet_lab.report.why_tables import identity_table

    pairs = _constructions(_folders(runs, names), depth)
    num_images = module.FAST_IMAGES if fast else None
    results = []
    for folder, deep, scratch in pairs:
        shallow = next(_load([folder], at, data_dir, device, threads))
        other = next(_load([scratch], None, data_dir, device, threads)) if scratch else None
        if continue_steps is not None:
            module.continuation(shallow.config, deep, continue_steps)  # refused before anything is computed
        display.note(f"{shallow.name} at step {shallow.step:,}, from depth {shallow.config.model.depth} to {deep}")
        with ended_by_ctrl_c():
            result = module.kept(shallow, deep, other, num_images) or module.identity(shallow, deep, other, num_images)
        save(folder, result)
        if continue_steps is not None:
            result = _carry_on(shallow, result, continue_steps, threads)
        results.append((folder, result))
    _show(results, identity_table, as_json=as_json)


@app.command()
def paths(
    names: RunsArgument = None,
    at: At = None,
    fast: Fast = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Test error without each block in turn, and without some drawn at random, on 2,000 images.

    About two minutes at depth 20 and ten at 56, on a core.
    """
    from resnet_lab.analysis import paths as module
    from resnet_lab.report.why_tables import path_table

    settings = (module.FAST_IMAGES, module.FAST_DRAWS) if fast else (module.IMAGES, module.DRAWS)
    found = _load(_folders(runs, names), at, data_dir, device, threads)
    _show(_each(found, lambda subject: module.paths(subject, *settings)), path_table, as_json=as_json)


@app.command()
def landscape(
    names: RunsArgument = None,
    dims: Annotated[int, typer.Option(min=1, max=2, help="Directions.")] = 2,
    points: Annotated[
        int | None, typer.Option(min=3, help="Points along each direction (default: 21, or 9 with --fast).")
    ] = None,
    reach: Annotated[float, typer.Option(min=0.01, help="How far, in norms of the network's filters.")] = 1.0,
    images: Annotated[int | None, typer.Option(min=1, help="Training images (default: 1,000, or 200 with --fast).")] = None,
    bn: BatchNorm = "moving",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the directions.")] = 0,
    at: At = None,
    fast: Fast = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Training loss around each network along random directions; the cost is measured and said first.

    Ctrl-C loses nothing: the same command goes on.
    """
    from resnet_lab.analysis import landscape as module
    from resnet_lab.report.why_tables import landscape_table

    default = module.FAST if fast else module.Slice()
    what = module.Slice(dims, points or default.points, reach, images or default.images, bn, seed)
    found = _load(_folders(runs, names), at, data_dir, device, threads)
    number = what.points**dims
    results: list[tuple[RunFolder, Result]] = []
    with ended_by_ctrl_c():
        for subject in found:
            _say_cost(subject, number * module.point_seconds(subject, what.images, bn), number)
            results.append((subject.folder, _followed(subject, module.landscape(subject, what))))
    _show(results, landscape_table, as_json=as_json)


@app.command()
def line(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run as STUDY/RUN or a folder.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another, of the same kind; it may be deeper.")],
    points: Annotated[int | None, typer.Option(min=3, help="Points along the line (default: 31, or 7 with --fast).")] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Training and test images each (default: 1,000, or 200 with --fast).")
    ] = None,
    bn: BatchNorm = "batch",
    at: At = None,
    fast: Fast = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Loss and error on the straight line between two networks; a shallower first one is built up to the second's depth."""
    from resnet_lab.analysis import landscape as module
    from resnet_lab.analysis.identity import starting_point
    from resnet_lab.report.why_tables import line_table

    folders = [*find_runs(runs, [first]), *find_runs(runs, [second])]
    if len(folders) != 2 or folders[0].path.resolve() == folders[1].path.resolve():
        raise ConfigError("A line goes from one run to another: name two runs, and no studies.")
    start, end = _load(folders, at, data_dir, device, threads)
    if start.config.model.family != end.config.model.family:
        raise ConfigError(f"{start.name} and {end.name} have different parameters: a line takes two runs of the same kind.")
    depth = end.config.model.depth
    if start.config.model.depth < depth:
        start = dataclasses.replace(start, net=starting_point(start, depth))  # the same function with either way of BN
    number = points or (module.FAST_LINE_POINTS if fast else module.LINE_POINTS)
    size = images or (module.FAST if fast else module.Slice()).images
    measuring = module.line(start, end.net, end.name, end.step, points=number, images=size, bn=bn)
    with ended_by_ctrl_c():
        _say_cost(start, 2 * number * module.point_seconds(start, size, bn), 2 * number)
        result = _followed(start, measuring)
    _show([(start.folder, result)], line_table, as_json=as_json)


def _say_cost(subject: "Subject", seconds: float, points: int) -> None:
    display.note(f"{subject.name} at step {subject.step:,}: {points:,} points, about {duration(seconds)}.")


def _followed(subject: "Subject", measuring: "Iterator[tuple[int, int] | Landscape | Line]") -> "Landscape | Line":
    """The result, saved; on the way there a line at each tenth of the points."""
    result: Landscape | Line | None = None
    for said in measuring:
        if isinstance(said, tuple):
            done, number = said
            if done * 10 // number > (done - 1) * 10 // number:
                display.note(f"{done:,} of {number:,} points")
        else:
            result = said
            save(subject.folder, result)
    assert result is not None
    return result


def _carry_on(shallow: "Subject", result: Identity, steps: int, threads: int | None) -> Identity:
    """Train on from the construction with the study's recipe; called again, it goes on where it stopped."""
    from resnet_lab.analysis import identity as module
    from resnet_lab.run.device import set_threads
    from resnet_lab.run.experiment import train_in

    config = module.continuation(shallow.config, result.depth, steps)
    folder = module.continuation_folder(shallow, result.depth, steps)
    with stop_signals() as stop, display.training(folder) as screen:
        threads_in_force = set_threads(threads)
        start = module.starting_point(shallow, result.depth)
        for said in train_in(folder, config, shallow.data, shallow.device, threads_in_force, lambda: bool(stop), start):
            screen.show(said)
    result = module.with_continuation(result, folder)
    save(shallow.folder, result)
    if stop:
        raise typer.Exit(stop.exit_code)
    return result


def _constructions(folders: Sequence[RunFolder], depth: int | None) -> list[tuple[RunFolder, int, RunFolder | None]]:
    """The shallowest run of each study, kind and seed, each depth to construct, and the run of that depth if there is one."""
    groups: dict[tuple[Path, str, int], dict[int, RunFolder]] = {}
    for folder in folders:
        config = folder.config()
        groups.setdefault((folder.path.parent, config.model.family, config.seed), {})[config.model.depth] = folder
    found = []
    for by_depth in groups.values():
        shallowest = min(by_depth)
        deeper = [depth] if depth is not None else sorted(set(by_depth) - {shallowest})
        if not deeper:
            raise ConfigError(
                f"The construction needs a depth: name a deeper run beside {by_depth[shallowest].path}, or give --depth."
            )
        found += [(by_depth[shallowest], each, by_depth.get(each)) for each in deeper]
    return found


def _folders(root: Path, names: Sequence[str] | None) -> list[RunFolder]:
    return find_runs(root, names) if names else run_folders(find_study(root, None))


def _load(
    folders: Sequence[RunFolder], at: int | None, data_dir: Path | None, device: str, threads: int | None
) -> "Iterator[Subject]":
    from resnet_lab.analysis.subject import subjects
    from resnet_lab.run.device import Resources

    return subjects(folders, at, Resources(data_dir, device, threads))


def _each(found: "Iterable[Subject]", analyse: "Callable[[Subject], Result]") -> list[tuple[RunFolder, Result]]:
    """Analyse one network after another; each result is saved as soon as it is there."""
    results = []
    with ended_by_ctrl_c():
        for subject in found:
            display.note(f"{subject.name} at step {subject.step:,}")
            result = analyse(subject)
            save(subject.folder, result)
            results.append((subject.folder, result))
    return results


def _show(results: Sequence[tuple[RunFolder, Result]], table: "Callable[[list[Finding]], Table]", *, as_json: bool) -> None:
    """The results as a table or as JSON, and figures of all that their studies' runs have."""
    from resnet_lab.report.findings import Finding
    from resnet_lab.report.write import write_findings

    found = [Finding(folder.read(), result) for folder, result in results]
    if any(each.run.is_stand_in for each in found):
        display.stand_in()
    if as_json:
        listed = [{"run": str(folder.path), **result.model_dump(mode="json")} for folder, result in results]
        display.result_json({"results": listed})
    else:
        shown = table(found)
        display.table(shown.header, shown.rows, shown.caption)
    for study in dict.fromkeys(folder.path.parent for folder, _ in results):
        for path in write_findings(study, results[0][1].analysis):
            display.note(f"Figure: {path} (also .svg, .pdf)")
