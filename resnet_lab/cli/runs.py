"""`resnet-lab runs`: what is there."""

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Runs, StudyArgument
from resnet_lab.compare import run_values
from resnet_lab.record.store import DEFAULT_ROOT, find_study, read_study, studies


def runs(study: StudyArgument = None, runs: Runs = DEFAULT_ROOT, as_json: Json = False) -> None:
    """All studies, or one: state, step, errors, speed and time left of every run."""
    folders = [find_study(runs, study)] if study else studies(runs)
    read = {folder: read_study(folder) for folder in folders}
    if as_json:
        listed = [
            {"study": folder.name, "runs": [run_values(run) for run in found], "faults": faults}
            for folder, (found, faults) in read.items()
        ]
        display.result_json({"studies": listed})
        return
    if not read:
        display.result(f"There are no runs in {runs}: start with `resnet-lab sweep demo`.")
    for folder, (found, faults) in read.items():
        display.result(f"{folder}")
        if any(run.is_stand_in for run in found):
            display.stand_in()
        display.table(display.RUN_HEADER, [display.run_row(run) for run in found])
        for fault in faults:
            display.note(fault)
