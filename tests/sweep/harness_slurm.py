"""Sweeps on a real Slurm cluster of one node, started by `tests/slurm_cluster.sh` from Debian's slurm-wlm and munge."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from resnet_lab.errors import SweepError
from resnet_lab.record.study import read_study, study_folders
from resnet_lab.sweep.slurm_queue import submissions
from tests.builders import ROOT
from tests.sweep.harness import SECONDS, Submissions, words

SCRIPT = ROOT / "tests" / "slurm_cluster.sh"
_DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scontrol")


def why_not() -> str | None:
    """Why no cluster can be started here; None if one can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in _DAEMONS if shutil.which(name, path=path) is None]
    return f"Slurm is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge" if missing else None


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """A cluster whose files are in a folder; yields the path of its slurm.conf."""
    subprocess.run([SCRIPT, "start", folder], check=True)
    try:
        yield folder / "slurm.conf"
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


class SlurmHarness(Submissions):
    """Sweeps in a folder `root`, each with its own runs folder, on the cluster with this slurm.conf."""

    name = "slurm"

    def __init__(self, root: Path, conf: Path) -> None:
        super().__init__(root, ["--launcher", "slurm", "--threads", "1"], {"SLURM_CONF": str(conf)})
        self._conf = conf
        self._delayed_since: dict[str, float] = {}

    def start(self, config: Path, *arguments: str) -> None:
        """Submit what is left of a study."""
        self.out += self.submit(config, *arguments)

    def finish(self) -> int:
        """Wait until none of the tasks is in the queue."""
        self.wait_for(lambda: not self.queue())
        runs = [run for folder in study_folders(self.root / "runs") for run in read_study(folder).runs]
        return 0 if runs and all(run.state == "finished" for run in runs) else SweepError.exit_code

    def stop(self) -> None:
        """Cancel all tasks, as a user would."""
        self.command("scancel", *self.jobs())

    def kill_node(self) -> None:
        """Kill all processes of the node at once, and start the node again."""
        subprocess.run([SCRIPT, "crash", self._conf.parent], check=True)

    @property
    def printed(self) -> str:
        return words(sorted(self.root.glob("runs/*/slurm/*.out")))

    def close(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        if self.jobs():
            self.stop()
            self.finish()

    def jobs(self) -> list[str]:
        """The ids of the jobs that have been submitted, oldest first."""
        return [submission.job for folder in study_folders(self.root / "runs") for submission in submissions(folder)]

    def queue(self) -> dict[str, str]:
        """The state of each task in the queue, such as `RUNNING`.

        Slurm starts a requeued task after two minutes; here it starts after a few seconds, when its old credential has expired.
        """
        lines = [line.split() for line in self.command("squeue", "--noheader", "--array", "--format=%F_%K %T %r").splitlines()]
        own = [line for line in lines if line[0].partition("_")[0] in self.jobs()]
        for task, state, reason in own:
            if state != "PENDING" or reason != "BeginTime":
                self._delayed_since.pop(task, None)
            elif time.monotonic() - self._delayed_since.setdefault(task, time.monotonic()) > 3:
                self.command("scontrol", "update", f"jobid={task}", "starttime=now")
        return {task: state for task, state, _ in own}

    def command(self, *arguments: str) -> str:
        """What one of Slurm's commands prints; a task may have ended in between."""
        return subprocess.run(arguments, env=self._environment, capture_output=True, text=True, check=False).stdout

    def wait_for(self, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it did not happen in {seconds:.0f} s; the queue: {self.queue()}"
            time.sleep(0.2)
