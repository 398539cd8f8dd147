"""`resnet-lab bench`: what this machine does with a config."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import Compile, ConfigArgument, Device, Jobs, Json, Plain, Set, Threads, kind_of
from resnet_lab.config.files import load_study
from resnet_lab.text import duration

if TYPE_CHECKING:
    from resnet_lab.run.bench import Bench
    from resnet_lab.sweep.plan import Outlook


def bench(
    config: ConfigArgument = None,
    depth: Annotated[
        int | None, typer.Option(help="Depth of the network that is measured (default: the shallowest of the sweep).")
    ] = None,
    plain: Plain = None,
    overrides: Set = None,
    compile: Compile = None,
    jobs: Jobs = None,
    threads: Threads = None,
    device: Device = "auto",
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure; compiling and the sweep come on top.")] = 20,
    as_json: Json = False,
) -> None:
    """Measure training speed here: images/s, the parts of a step, the share of what the machine can do, and hours per run."""
    begin = time.perf_counter()
    from resnet_lab.run import bench as measuring
    from resnet_lab.run.compute import set_up
    from resnet_lab.run.device import pick_device
    from resnet_lab.sweep.local import LocalPool
    from resnet_lab.sweep.plan import outlook

    start_seconds = time.perf_counter() - begin
    source = load_study(config, overrides or (), compile=compile)
    kind = kind_of(plain) or source.sweep.kinds[0]
    settings = source.run(kind=kind, depth=depth or min(source.sweep.depths))
    place = pick_device(device)
    found = measuring.bench(settings, place, set_up(settings.compute, place, threads), seconds)
    _show(found, outlook(source, LocalPool(device, threads, jobs), start_seconds), as_json=as_json)


def _show(bench: "Bench", outlook: "Outlook", *, as_json: bool) -> None:
    """What was measured of one network, and what the sweep of its config takes."""
    if as_json:
        terminal.result_json(_values(bench, outlook))
        return
    step = bench.speed.step_seconds
    rows = [(part, f"{1e3 * seconds:,.1f}", f"{100 * seconds / step:.1f} %") for part, seconds in bench.speed.parts.items()]
    terminal.table(("part of a step", "ms", "share"), [*rows, ("step", f"{1e3 * step:,.1f}", "100.0 %")])
    model, recipe = bench.config.model, bench.config.recipe
    terminal.result("")
    terminal.sentence(
        f"{model.kind}-{model.depth}, {recipe.batch_size} images a step, {bench.config.compute.precision}, {bench.device}, "
        f"{bench.threads} thread{'s' if bench.threads > 1 else ''}: {bench.images_per_second:,.0f} images/s "
        f"(medians of {bench.num_steps} steps)."
    )
    terminal.sentence(
        f"That is {bench.images_per_second / bench.limit:.2f} of the machine's limit: matrix products at "
        f"{bench.flops / 1e9:,.0f} GFLOP/s would do the multiply-adds of {bench.limit:,.0f} images/s."
    )
    terminal.sentence(
        f"Evaluation: {1 / bench.speed.eval_image_seconds:,.0f} images/s, {100 * bench.evaluation_share:.1f} % of a run's time."
    )
    if bench.config.data.facts.is_folder:
        terminal.sentence("The images are made up, in memory: decoding a folder's, by threads beside the steps, is not measured.")
    if bench.compiled is not None:
        terminal.sentence(
            f"Compiled blocks: {recipe.batch_size / bench.compiled.step_seconds:,.0f} images/s, "
            f"{step / bench.compiled.step_seconds:.2f} times as fast, after {bench.compile_seconds:.0f} s of compiling."
        )
    if bench.fault is not None:
        terminal.sentence(f"Blocks cannot be compiled here: {bench.fault}.")
    terminal.result("")
    each = {(run.config.model.kind, run.config.model.depth): run for run in outlook.forecasts}
    runs = [
        (
            f"{kind}-{depth}",
            f"{run.multiply_adds / 1e6:.1f} M",
            f"{run.config.recipe.steps:,}",
            f"{run.images_per_second:,.0f}",
            duration(run.seconds),
        )
        for (kind, depth), run in each.items()
    ]
    terminal.table(("run", "mult-adds", "steps", "img/s", "time"), runs)
    terminal.sentence(
        f"The sweep's {len(outlook.forecasts)} runs, {outlook.allocation.num_jobs} at once with {outlook.allocation.threads} "
        f"thread{'s' if outlook.allocation.threads > 1 else ''} each: about {duration(outlook.seconds)}."
    )


def _values(bench: "Bench", outlook: "Outlook") -> dict[str, Any]:
    batch_size = bench.config.recipe.batch_size
    compiled = bench.compiled and batch_size / bench.compiled.step_seconds
    return {
        "model": bench.config.model.model_dump(mode="json"),
        "batch_size": batch_size,
        "precision": bench.config.compute.precision,
        "device": str(bench.device),
        "threads": bench.threads,
        "multiply_adds": bench.multiply_adds,
        "steps_measured": bench.num_steps,
        "step_seconds": bench.speed.step_seconds,
        "parts": dict(bench.speed.parts),
        "images_per_second": bench.images_per_second,
        "matrix_product_flops": bench.flops,
        "fraction_of_limit": bench.images_per_second / bench.limit,
        "evaluated_images_per_second": 1 / bench.speed.eval_image_seconds,
        "evaluation_share": bench.evaluation_share,
        "compiled_images_per_second": compiled,
        "compile_seconds": bench.compile_seconds,
        "compile_fault": bench.fault,
        "runs": [{"run": run.config.name, "steps": run.config.recipe.steps, "seconds": run.seconds} for run in outlook.forecasts],
        "sweep": {"jobs": outlook.allocation.num_jobs, "threads": outlook.allocation.threads, "seconds": outlook.seconds},
    }
