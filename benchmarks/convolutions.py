"""Which small convolutions a CPU's kernels compute correctly, forward and both gradients, under each instruction set.

    python benchmarks/convolutions.py                 # every instruction set of the machine: takes some minutes
    python benchmarks/convolutions.py --isa AVX2      # one of them

Every convolution that can occur in a narrow network is computed in fp32 and compared with fp64: kernels of 1x1 and 3x3, strides
1 and 2, 1 to 16 channels in and out, both memory formats, one and two threads. They run in processes with a time limit, since
the fault that `resnet_lab/models/memory_format.py` works around hangs or corrupts memory. For Linux on x86-64.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

INSTRUCTION_SETS: dict[str, dict[str, str]] = {
    "SSE41": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "AVX512": {},
}
KERNELS, STRIDES, CHANNELS, FORMATS = (1, 3), (1, 2), range(1, 17), ("channels_last", "contiguous")
SIZES = (4, 16, 16), (3, 9, 11), (2, 2, 2)  # images, height, width
TOLERANCE = 1e-5  # relative to the largest value
SECONDS = 4.0  # time limit; a convolution takes milliseconds

Case = tuple[int, int, int, int, str]  # kernel, stride, channels in, channels out, memory format


def main() -> None:
    """Survey each instruction set in a process started with it, and print a line for each group of convolutions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--isa", choices=list(INSTRUCTION_SETS), action="append", help="instruction set (default: all of this machine)"
    )
    parser.add_argument("--survey", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.survey:
        survey()
        return
    print("| instruction set | kernel | stride | format | convolutions | right | wrong | crash | hang | faulty input channels |")
    print("|" + "---|" * 10)
    for name in arguments.isa or available():
        child = subprocess.run(
            [sys.executable, __file__, "--survey"],
            env=os.environ | INSTRUCTION_SETS[name],
            capture_output=True,
            text=True,
            check=True,
        )
        results: list[tuple[Case, str]] = [(tuple(case), result) for case, result in json.loads(child.stdout)]
        for kernel, stride, layout in itertools.product(KERNELS, STRIDES, FORMATS):
            group = [(case, result) for case, result in results if (case[0], case[1], case[4]) == (kernel, stride, layout)]
            counts = Counter(result for _, result in group)
            faulty = sorted({case[2] for case, result in group if result != "right"})
            numbers = " | ".join(str(counts[result]) for result in ("right", "wrong", "crash", "hang"))
            fault = ", ".join(map(str, faulty)) or "none"
            print(f"| {name} | {kernel}x{kernel} | {stride} | {layout} | {len(group)} | {numbers} | {fault} |", flush=True)


def available() -> list[str]:
    """The instruction sets of this machine."""
    flags = Path("/proc/cpuinfo").read_text()
    return [name for name in INSTRUCTION_SETS if name == "SSE41" or f" {name.lower().replace('avx512', 'avx512f')} " in flags]


def survey() -> None:
    """Print every case with its result, as JSON. Only child processes compute, so that none inherits the libraries' state."""
    results: list[tuple[Case, str]] = []
    for kernel, stride, channels_in, layout in itertools.product(KERNELS, STRIDES, CHANNELS, FORMATS):
        cases = [(kernel, stride, channels_in, channels_out, layout) for channels_out in CHANNELS]
        if in_a_process(cases) == "right":
            results += [(case, "right") for case in cases]
        else:
            results += [(case, in_a_process([case])) for case in cases]
    print(json.dumps(results))


def in_a_process(cases: Sequence[Case]) -> str:
    """Check the cases in a child process: `right` if all are, otherwise `wrong`, `crash` or `hang`."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hides glibc's messages about the corrupted heap
        os._exit(0 if all(is_right(*check) for check in itertools.product(cases, SIZES, (1, 2))) else 1)
    for status in waited(child):
        code = os.waitstatus_to_exitcode(status)
        return {0: "right", 1: "wrong"}.get(code, "crash")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hang"


def waited(child: int) -> Iterator[int]:
    """Yield the child's status when it has ended; yield nothing if it exceeds the time limit."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            yield status
            return
        time.sleep(0.002)


def is_right(case: Case, size: tuple[int, int, int], threads: int) -> bool:
    """Whether the output and the gradients of input and weight agree with fp64."""
    torch.set_num_threads(threads)
    exact, computed = (outputs(case, size, dtype) for dtype in (torch.float64, torch.float32))
    return all(bool((a - b).abs().max() <= TOLERANCE * a.abs().max()) for a, b in zip(exact, computed, strict=True))


def outputs(case: Case, size: tuple[int, int, int], dtype: torch.dtype) -> list[Any]:
    """Output, gradient of the input and gradient of the weight, as fp64."""
    kernel, stride, channels_in, channels_out, layout = case
    images, height, width = size
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    source = torch.Generator().manual_seed(0)
    x = torch.randn(images, channels_in, height, width, generator=source, dtype=torch.float32)
    weight = torch.randn(channels_out, channels_in, kernel, kernel, generator=source, dtype=torch.float32)
    x, weight = (tensor.to(dtype, memory_format=memory_format).requires_grad_() for tensor in (x, weight))
    y = functional.conv2d(x, weight, stride=stride, padding=kernel // 2)
    slope = torch.randn(y.shape, generator=source, dtype=torch.float32).to(dtype).contiguous(memory_format=memory_format)
    return [tensor.detach().double() for tensor in (y, *torch.autograd.grad(y, (x, weight), slope))]


if __name__ == "__main__":
    main()
