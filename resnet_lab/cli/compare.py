"""`resnet-lab compare`: the table, the verdict and the curves of a study."""

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Runs, StudyArgument
from resnet_lab.compare import comparison_values
from resnet_lab.record.store import DEFAULT_ROOT, find_study


def compare(study: StudyArgument = None, runs: Runs = DEFAULT_ROOT, as_json: Json = False) -> None:
    """Plain against residual, shallow against deep: table, verdict, and curves.png, .svg, .pdf and .csv in the study's folder."""
    from resnet_lab.report.document import error_table
    from resnet_lab.report.write import write_comparison

    folder = find_study(runs, study)
    comparison = write_comparison(folder)
    if comparison.stand_in:
        display.stand_in()
    if as_json:
        display.result_json(comparison_values(comparison))
        return
    errors = error_table(comparison)
    if comparison.cells:
        display.table(errors.header, errors.rows, errors.caption)
        display.result("")
    for sentence in comparison.verdict:
        display.result(sentence)
    for sentence in comparison.missing:
        display.note(sentence)
    display.note(f"Curves: {folder / 'curves.png'} (also .svg, .pdf, .csv). `resnet-lab report {folder}` makes the page.")
