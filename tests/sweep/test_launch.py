"""What all launchers have in common."""

from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.launch import Allocation, Job, Outcome, start


def test_failure_of_a_run_is_recorded_whatever_launcher_started_it(tmp_path):
    class Cluster:
        def allocate(self, num_runs):
            return Allocation(num_runs, 1, "cpu")

        def launch(self, jobs, allocation, stop, retry):
            yield None
            for job in jobs:
                yield Outcome(job.folder, int(job.folder.path.name))

    folders = [RunFolder(tmp_path / code) for code in ("0", "1", "4", "75")]
    for folder in folders:
        folder.path.mkdir()
    jobs = [Job(folder, tmp_path) for folder in folders]
    assert next(start(Cluster(), jobs, Cluster().allocate(4), lambda: None)) is None
    list(start(Cluster(), jobs, Cluster().allocate(4), lambda: None))
    events = {folder.path.name: [event.detail["exit_code"] for event in folder.events()] for folder in folders}
    assert events == {"0": [], "1": [1], "4": [], "75": []}
