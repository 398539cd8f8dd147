"""`resnet-lab analyze`: why, asked of trained networks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import DataDir, Device, Json, Runs, Threads, stop_signals
from resnet_lab.cli.watch import ended_by_ctrl_c
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import DEFAULT_ROOT, RunFolder, find_runs, find_study, run_folders
from resnet_lab.results import Identity, Result, save

if TYPE_CHECKING:
    from resnet_lab.analysis.subject import Subject
    from resnet_lab.report.blocks import Table
    from resnet_lab.report.why import Finding

app = typer.Typer(help="Ask trained networks why plain ones degrade.", no_args_is_help=True)

RunsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs as STUDY/RUN or folders, or studies; else the newest study.")
]
At = Annotated[
    int | None, typer.Option("--at", min=0, help="The checkpoint's step; 0: the initial network. Else the newest checkpoint.")
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
    """How strongly each layer responds, as in Fig. 7. All 10,000 test images: half a minute at depth 20, two at 56, on a core."""
    from resnet_lab.analysis import responses as module
    from resnet_lab.report.why import response_table

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
    from resnet_lab.report.why import gradient_table

    found = _load(_folders(runs, names), at, data_dir, device, threads)
    results = _each(found, lambda subject: module.gradients(subject, module.FAST_BATCHES if fast else module.BATCHES))
    _show(results, gradient_table, as_json=as_json)


@app.command()
def identity(
    names: RunsArgument = None,
    depth: Annotated[
        int | None, typer.Option(help="Depth of the construction; else those of the deeper runs of the same kind and seed.")
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

    All 60,000 images: about five minutes from depth 20 to 56, on a core. With --continue-steps as long as training takes;
    Ctrl-C saves a checkpoint, and the same command goes on.
    """
    from resnet_lab.analysis import identity as module
    from resnet_lab.report.why import identity_table

    pairs = _constructions(_folders(runs, names), depth)
    num_images = module.FAST_IMAGES if fast else None
    results = []
    for folder, deep, scratch in pairs:
        shallow = _load([folder], at, data_dir, device, threads)[0]
        other = _load([scratch], None, data_dir, device, threads)[0] if scratch else None
        if continue_steps is not None:
            module.continuation(shallow.config, deep, continue_steps)  # refused before anything is computed
        display.note(f"{shallow.name} at step {shallow.step:,}, from depth {shallow.config.model.depth} to {deep}")
        with ended_by_ctrl_c():
            result = module.identity(shallow, deep, other, num_images)
        save(folder, result)
        if continue_steps is not None:
            result = _carry_on(shallow, result, continue_steps, threads)
        results.append((folder, result))
    _show(results, identity_table, as_json=as_json)


def _carry_on(shallow: "Subject", result: Identity, steps: int, threads: int | None) -> Identity:
    from resnet_lab.analysis import identity as module
    from resnet_lab.train.world import set_threads

    folder = module.continuation_folder(shallow, result.depth, steps)
    with stop_signals() as stop, display.training(folder) as screen:
        for said in module.carry_on(shallow, result.depth, steps, set_threads(threads), lambda: bool(stop)):
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
        groups.setdefault((folder.path.parent, config.model.kind, config.seed), {})[config.model.depth] = folder
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
) -> "list[Subject]":
    from resnet_lab.analysis.subject import subjects
    from resnet_lab.experiment import Resources

    return subjects(folders, at, Resources(data_dir, device, threads))


def _each(found: "Sequence[Subject]", analyse: "Callable[[Subject], Result]") -> list[tuple[RunFolder, Result]]:
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
    from resnet_lab.report.why import Finding
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
        for path in write_findings(study):
            display.note(f"Figure: {path} (also .svg, .pdf)")
