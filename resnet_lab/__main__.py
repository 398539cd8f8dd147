"""The program `resnet-lab`, also `python -m resnet_lab`."""

import signal


def main() -> None:
    """Run the command line. Ctrl-C ends the process at once, unless a command handles it, as `train` and `sweep` do.

    Python's own handler raises KeyboardInterrupt, which is lost if it is raised while pydantic builds a model.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from resnet_lab.cli.main import main as command_line  # noqa: PLC0415  # takes longer than a user may wait for Ctrl-C

    command_line()


if __name__ == "__main__":
    main()
