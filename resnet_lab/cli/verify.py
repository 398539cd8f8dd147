"""`resnet-lab verify`: whether a study is whole, and made of what it says."""

from resnet_lab.cli import display
from resnet_lab.cli.options import DataDir, Json, Runs, StudyArgument
from resnet_lab.errors import DiskError, FaultError
from resnet_lab.record.study import DEFAULT_ROOT, find_study
from resnet_lab.report import verify as checking


def verify(study: StudyArgument = None, runs: Runs = DEFAULT_ROOT, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check a study at rest: settings, records, checkpoints, exports, matched pairs, data, figures. Exits with 6 at a fault.

    Nothing is trained. A study that passes gets a verified.json, and the report then says on which day.
    """
    found = checking.verify(find_study(runs, study), data_dir)
    try:
        checking.note_verified(found)
    except DiskError as error:  # a study may be on a disk that can only be read
        display.note(f"verified.json is left as it is: {error}")
    if as_json:
        display.result_json({"study": found.folder.name, **found.values()})
    else:
        _show(found)
    if not found.passed:
        faulty = [check.name for check in found.checks if check.faults]
        raise FaultError(f"{found.folder} has faults: {', '.join(faulty)}.")


def _show(found: checking.Verification) -> None:
    """A line for each check, then what is wrong and what to do."""
    display.result(str(found.folder))
    rows = [(check.name, "-" if check.outcome == "open" else check.outcome, check.says) for check in found.checks]
    display.table(("check", "result", "what"), rows)
    for check in found.checks:
        for fault in check.faults:
            display.sentence(f"{check.name}: {fault.what} {fault.to_do}")
    if found.passed and found.is_running:
        display.note("No fault so far; runs are going on, so that this is not written down yet.")
    elif found.passed:
        display.note(f"No fault: `resnet-lab report {found.folder}` now says so.")
