"""`resnet-lab bench`: how fast this machine trains the networks of a config."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import (
    Compile,
    ConfigArgument,
    Device,
    Jobs,
    Json,
    Plain,
    Residual,
    Set,
    Threads,
    kind_of,
    refuse_twice,
)
from resnet_lab.config.files import load_study
from resnet_lab.text import duration

if TYPE_CHECKING:
    from resnet_lab.run.bench import Bench
    from resnet_lab.sweep.plan import Outlook


def bench(
    config: ConfigArgument = None,
    depth: Annotated[int | None, typer.Option(help="Depth of the measured network (default: the sweep's shallowest).")] = None,
    plain: Plain = False,
    residual: Residual = False,
    overrides: Set = None,
    compile: Compile = None,
    jobs: Jobs = None,
    threads: Threads = None,
    device: Device = "auto",
    seconds: Annotated[
        float,
        typer.Option(
            min=1,
            max=86_400,
            help="Duration of the measurement; compiling and the sweep's forecast take extra time.",
        ),
    ] = 20,
    as_json: Json = False,
) -> None:
    """Measure training speed on this machine: images/s, parts of a step, share of the machine's limit, and hours per run."""
    begin = time.perf_counter()
    from resnet_lab.run import bench as measuring
    from resnet_lab.run.compute import set_up
    from resnet_lab.run.device import pick_device
    from resnet_lab.sweep.local import LocalPool
    from resnet_lab.sweep.plan import outlook

    start_seconds = time.perf_counter() - begin
    source = load_study(config, overrides or (), compile=compile)
    kind = kind_of(plain, residual)
    refuse_twice(source, kind=kind, depth=depth)
    if not source.sets(("model", "kind")):
        kind = kind or source.sweep.kinds[0]
    if not source.sets(("model", "depth")):
        depth = depth or min(source.sweep.depths)
    settings = source.run(kind=kind, depth=depth)
    chosen = pick_device(device)
    with terminal.working("Measuring"):
        measured = measuring.bench(settings, chosen, set_up(settings.compute, chosen, threads), seconds)
        forecast = outlook(source, LocalPool(device, threads, jobs), start_seconds)
    _show(measured, forecast, as_json=as_json)


def _show(bench: "Bench", outlook: "Outlook", *, as_json: bool) -> None:
    """The measurements of one network, and the forecast for the config's sweep."""
    if as_json:
        terminal.result_json(_values(bench, outlook))
        return
    step = bench.speed.step_seconds
    rows = [(part, f"{1e3 * seconds:,.1f}", f"{100 * seconds / step:.1f} %") for part, seconds in bench.speed.parts.items()]
    terminal.table(("part of a step", "ms", "share"), [*rows, ("step", f"{1e3 * step:,.1f}", "100.0 %")])
    terminal.result("")
    for sentence in _sentences(bench):
        terminal.sentence(sentence)
    terminal.result("")
    _show_outlook(outlook)


def _sentences(bench: "Bench") -> Iterator[str]:
    """The measured speeds, in words."""
    model, recipe = bench.config.model, bench.config.recipe
    yield (
        f"{model.kind}-{model.depth}, {recipe.batch_size} images per step, {bench.config.compute.precision}, {bench.device}, "
        f"{bench.threads} thread{'s' if bench.threads > 1 else ''}: {bench.images_per_second:,.0f} images/s "
        f"(medians over {bench.num_steps} steps)."
    )
    yield (
        f"That is {bench.images_per_second / bench.limit:.2f} of this machine's limit: at the {bench.flops / 1e9:,.0f} GFLOP/s "
        f"of matrix products, the multiply-adds alone would allow {bench.limit:,.0f} images/s."
    )
    yield (
        f"Evaluation: {1 / bench.speed.eval_image_seconds:,.0f} images/s, {100 * bench.evaluation_share:.1f} % of a run's time."
    )
    if bench.config.data.facts.is_folder:
        yield "The images are synthetic and in memory; decoding a folder's images, in background threads, is not measured."
    if bench.compiled is not None:
        yield (
            f"Compiled blocks: {recipe.batch_size / bench.compiled.step_seconds:,.0f} images/s, "
            f"{bench.speed.step_seconds / bench.compiled.step_seconds:.2f} times as fast, after {bench.compile_seconds:.0f} s of "
            "compiling."
        )
    if bench.fault is not None:
        yield f"Blocks cannot be compiled here: {bench.fault}."


def _show_outlook(outlook: "Outlook") -> None:
    """The time of each network of the sweep, and of the whole sweep."""
    networks = {(forecast.config.model.kind, forecast.config.model.depth): forecast for forecast in outlook.forecasts}
    rows = [
        (
            f"{kind}-{depth}",
            f"{forecast.multiply_adds / 1e6:.1f} M",
            f"{forecast.config.recipe.steps:,}",
            f"{forecast.images_per_second:,.0f}",
            duration(forecast.seconds),
        )
        for (kind, depth), forecast in networks.items()
    ]
    terminal.table(("run", "mult-adds", "steps", "img/s", "time"), rows)
    allocation = outlook.allocation
    terminal.sentence(
        f"The sweep's {len(outlook.forecasts)} runs, {allocation.num_jobs} at once with {allocation.threads} "
        f"thread{'s' if allocation.threads > 1 else ''} each: about {duration(outlook.seconds)}."
    )


def _values(bench: "Bench", outlook: "Outlook") -> dict[str, Any]:
    """The measurements and the forecast as JSON."""
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
