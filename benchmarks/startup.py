"""Claim: `--help`, `runs` and `compare` start in under half a second and without importing torch.

`runs` and `compare` read the studies in `reference/`. Measured are the time to the first line of output and the total time:
`compare` prints its tables and then writes the curves in four formats.

    python benchmarks/startup.py
"""

import subprocess
import sys
import time
from pathlib import Path

from common import arguments, lab, middle, print_table, process

REFERENCE = Path(__file__).parent.parent / "reference"
COMMANDS = {
    "--help": ["--help"],
    "runs": ["runs", "--runs", REFERENCE],
    "compare": ["compare", REFERENCE / "quick"],
}
PROBE = "import sys; from resnet_lab.cli.main import main\ntry: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"


def to_first_line_and_end(*argv: object) -> tuple[float, float]:
    """Seconds from the start of a process to its first line of output, and to its end."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "resnet_lab", *map(str, argv)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        child.stdout.readline()
        first = time.perf_counter() - begin
        child.stdout.read()
    return first, time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    args = arguments(__doc__, repeats=9).parse_args()
    rows = []
    for name, argv in COMMANDS.items():
        lab(*argv)  # fills the caches of compiled Python and of fonts
        timed = [to_first_line_and_end(*argv) for _ in range(args.repeats)]
        imports_torch = process("-c", PROBE, *argv).out.splitlines()[-1] == "True"
        first, end = ([pair[index] for pair in timed] for index in (0, 1))
        rows.append((f"`resnet-lab {name}`", middle(first, 2), middle(end, 2), "yes" if imports_torch else "no"))
    print_table(("command", "time to first line, s", "total time, s", "imports torch"), rows)


if __name__ == "__main__":
    main()
