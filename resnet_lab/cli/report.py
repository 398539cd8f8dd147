"""`resnet-lab report`: a study as one page."""

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Runs, StudyArgument, XAxis
from resnet_lab.record.store import DEFAULT_ROOT, find_study, read_study


def report(study: StudyArgument = None, runs: Runs = DEFAULT_ROOT, x: XAxis = "step", as_json: Json = False) -> None:
    """Write the study's report: one self-contained HTML page that works without a network, and the same as Markdown."""
    from resnet_lab.report.write import write_report

    folder = find_study(runs, study)
    page, markdown = write_report(folder, x)
    if any(run.is_stand_in for run in read_study(folder)[0]):
        display.stand_in()
    if as_json:
        display.result_json({"html": str(page), "markdown": str(markdown)})
        return
    display.result(str(page))
    display.note(f"The same as Markdown: {markdown}")
