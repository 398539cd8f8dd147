"""Shared by the benchmarks: processes with their peak memory, medians, and Markdown tables."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

CONVENTIONAL = Path(__file__).with_name("conventional.py")


@dataclass(frozen=True)
class Finished:
    """A successful process: its output, wall time and peak resident memory."""

    out: str
    seconds: float
    peak_mib: float


def process(*argv: object, **environment: str) -> Finished:
    """Run a Python process and wait for it; raises RuntimeError with its error output if it fails."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", *map(str, argv)], stdout=out, stderr=err, env=os.environ | environment
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            raise RuntimeError(f"{argv} exited with {child.returncode}:\n{err.read()}")
        return Finished(out.read(), seconds, usage.ru_maxrss / (1024 if platform.system() == "Linux" else 1024**2))


def lab(*arguments: object, **environment: str) -> Finished:
    """Run the `resnet-lab` command line."""
    return process("-m", "resnet_lab", *arguments, **environment)


def conventional(*arguments: object) -> dict[str, float]:
    """Run the conventional script; returns its results, and the wall time of its process as `wall_seconds`."""
    done = process(CONVENTIONAL, *arguments)
    return json.loads(done.out) | {"wall_seconds": done.seconds}


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder for runs."""
    path = Path(tempfile.mkdtemp(prefix="resnet-lab-benchmark-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def arguments(doc: str | None, repeats: int) -> argparse.ArgumentParser:
    """A parser with the options shared by all benchmarks."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("RESNET_LAB_DATA", "data"), help="folder that holds cifar-10-batches-py")
    parser.add_argument("--device", default="cpu", help="device of both sides, such as cuda")
    parser.add_argument("--repeats", type=int, default=repeats, help="number of interleaved repetitions; medians are printed")
    return parser


def middle(values: Sequence[float], digits: int = 0) -> str:
    """The median with its range, such as `512 (498-520)`."""
    shown = f"{statistics.median(values):,.{digits}f}"
    return shown if len(values) == 1 else f"{shown} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def print_markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table, followed by a description of the machine."""
    print_markdown(header, rows)
    models = [line.partition(":")[2].strip() for line in _cpu_info() if line.startswith("model name")]
    name = models[0] if models else platform.machine()
    print(f"\n{os.cpu_count()} cores of {name}, torch {torch.__version__}, {torch.get_num_threads()} threads by default.")


def _cpu_info() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
