"""The program `resnet-lab`, also `python -m resnet_lab`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends the process at once, unless a command handles it, as `train` and `sweep` do.

    Python's own handler raises KeyboardInterrupt, which is lost if it is raised while pydantic builds a model. A process that
    torchrun has started ends without the interpreter's teardown, during which threads of torch.distributed may abort it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from resnet_lab.cli.main import main as command_line  # noqa: PLC0415  # takes longer than a user may wait for Ctrl-C

    try:
        command_line()
    finally:
        if "TORCHELASTIC_RUN_ID" in os.environ:
            _leave(sys.exc_info()[1])


def _leave(end: BaseException | None) -> None:
    """End the process with the exit code of a command that has ended with `end`; returns if that is an error."""
    code = end.code if isinstance(end, SystemExit) else end
    if isinstance(code, int | None):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    main()
