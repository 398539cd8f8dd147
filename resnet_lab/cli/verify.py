"""`resnet-lab verify`: checks the files of a study."""

from resnet_lab.cli import terminal
from resnet_lab.cli.options import ImagesDir, Json, Runs, StudyArgument
from resnet_lab.errors import DiskError, FaultError
from resnet_lab.record.study import DEFAULT_ROOT, find_study
from resnet_lab.report import verify as verification


def verify(study: StudyArgument = None, runs: Runs = DEFAULT_ROOT, data_dir: ImagesDir = None, as_json: Json = False) -> None:
    """Check a study's configs, records, checkpoints, exports, matched pairs, data and figures. Exits with 6 if it finds a fault.

    Nothing is trained. If there is no fault, the date is written to verified.json, and the report states it.
    """
    folder = find_study(runs, study)
    with terminal.working(f"Checking {folder}"):
        checked = verification.verify(folder, data_dir)
    try:
        verification.save_result(checked)
        is_saved = True
    except DiskError:  # the study may be on a read-only disk
        is_saved = False
    if as_json:
        terminal.result_json({"study": checked.folder.name, **checked.values()})
    else:
        _show(checked, is_saved=is_saved)
    if not checked.passed:
        names = [check.name for check in checked.checks if check.faults]
        raise FaultError(f"{checked.folder} has faults: {', '.join(names)}.")


def _show(checked: verification.Verification, *, is_saved: bool) -> None:
    """A line for each check, then each fault with its remedy."""
    terminal.result(str(checked.folder))
    rows = [(check.name, "-" if check.skipped and not check.faults else check.outcome, check.detail) for check in checked.checks]
    terminal.table(("check", "result", "detail"), rows)
    for check in checked.checks:
        for fault in check.faults:
            terminal.sentence(f"{check.name}: {fault.problem} {fault.remedy}")
    if checked.passed and checked.is_active:
        terminal.note("No fault so far. Runs are active, so the date is not recorded yet.")
    elif checked.passed and not is_saved:
        terminal.note(f"No fault. The date was not recorded, since {checked.folder} cannot be written to.")
    elif checked.passed:
        terminal.note(f"No fault: `resnet-lab report {checked.folder}` now states the date.")
