"""Record a tour of five commands in a terminal of 80 columns and draw it: python docs/terminal.py writes docs/terminal.svg.

The output is that of the commands, which run here, in under two minutes. Only times and speeds differ from one recording to the
next. Needs a Unix system.
"""

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parent.parent
COLUMNS = 80
LINES = 60
TOUR = (
    ("sweep smoke", "train a study: here four tiny networks on synthetic images"),
    ("runs quick --runs reference", "the state of every run of a study"),
    ("analyze identity smoke", "does the deeper network have a solution that is as good?"),
    ("compare demo-seeds --runs reference", "tables, curves and verdict of a study with five seeds"),
    ("report demo-seeds --runs reference", "a page that works offline"),
)
CONTROL = re.compile(r"\x1b\[\?25[lh]|\x1b\[(\d*)A|\x1b\[2K|\r|\n|(?:\x1b\[[\d;]*m|[^\x1b\r\n])+")


def output_of(command: str, folder: Path) -> str:
    """What a command prints in a terminal, with escape sequences."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT)}
        os.execv(sys.executable, [sys.executable, "-m", "resnet_lab", *command.split()])
    chunks = []
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux reports the end of the process like this
            break
        if not chunk:
            break
        chunks.append(chunk)
    _, status = os.waitpid(process, 0)
    if status:
        raise SystemExit(f"resnet-lab {command} failed:\n{b''.join(chunks).decode()}")
    return b"".join(chunks).decode()


def screen(output: str) -> list[str]:
    """The lines that remain on the terminal after live displays have redrawn themselves."""
    lines, row = [""], 0
    for match in CONTROL.finditer(output):
        piece = match.group()
        if piece == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif piece.endswith("A") and piece.startswith("\x1b"):
            row -= int(match.group(1) or 1)
        elif piece != "\r" and not piece.startswith("\x1b[?"):
            lines[row] += piece
    return lines


def main() -> None:
    """Run the commands in a folder of their own and draw what they leave on the screen."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "reference", folder / "reference")
        for command, comment in TOUR:
            console.print(
                Text.assemble(("# " + comment, "#a0a0a0"), "\n", ("$ ", "bright_green"), (f"resnet-lab {command}", "bold"))
            )
            console.print(Text.from_ansi("\n".join(screen(output_of(command, folder))).rstrip()), "", highlight=False, sep="\n")
    svg = console.export_svg(title="resnet-lab", theme=DIMMED_MONOKAI, unique_id="terminal")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # they would be fetched
    (ROOT / "docs" / "terminal.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
