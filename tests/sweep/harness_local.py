"""The local launcher for the contract suite."""

from pathlib import Path

from tests.sweep.harness import Commands, end_process, runs_in


class LocalHarness(Commands):
    """Processes of this machine."""

    name = "local"

    def __init__(self, root: Path) -> None:
        super().__init__(root, ["--device", "cpu", "--jobs", "2", "--threads", "1"], {})
        self._last: tuple[Path, tuple[str, ...]] = (root, ())

    def start(self, config: Path, *arguments: str) -> None:
        self._last = config, arguments
        super().start(config, *arguments)

    def kill_node(self) -> None:
        """The only machine goes down, and the user starts the same sweep again."""
        self.kill_driver()
        killed = [folder for folder in runs_in(self._root) if end_process(folder)]
        assert killed
        config, arguments = self._last
        self.start(config, *arguments)
