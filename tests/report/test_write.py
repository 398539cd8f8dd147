"""The files of a report: identical bytes for the same runs, and markup from disk that is escaped."""

import re

from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study
from resnet_lab.report.write import write_report
from resnet_lab.study.compare import compare_study
from tests.builders import tiny


def write_report_of(study):
    return write_report(compare_study(study))


PAYLOAD = "<script>alert(1)</script>"


def test_two_reports_of_the_same_runs_are_byte_identical(tmp_path):
    study = tmp_path / "study"
    for kind in ("plain", "residual"):
        RunFolder(study / f"{kind}-8-s0").create(tiny(model={"kind": kind, "depth": 8, "width": 4}))
    first = [path.read_bytes() for path in write_report_of(study)]
    files = {path: path.read_bytes() for path in [*study.glob("curves.*"), *(study / "report").iterdir()]}
    assert len(files) == 6
    (study / "report/index.html").unlink()
    second = [path.read_bytes() for path in write_report_of(study)]
    assert first == second
    assert files == {path: path.read_bytes() for path in files}


def test_markup_in_names_on_disk_is_escaped(tmp_path):
    study = tmp_path / f"<b>study{PAYLOAD.replace('/', '')}"
    folder = RunFolder(study / "plain-8-s0<img src=x onerror=alert(1)>")
    folder.create(tiny(model={"kind": "plain", "depth": 8, "width": 4}))
    (folder.path / "environment.json").write_text('{"device": "' + PAYLOAD + '"}')
    page, text = (path.read_text() for path in write_report_of(study))
    assert PAYLOAD not in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "<b>study" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"(?<!\\)<script", re.sub(r"`[^`]*`", "", text))  # nothing is markup in code


def test_run_with_unreadable_records_still_gets_a_page(tmp_path):
    RunFolder(tmp_path / "plain-8-s0").create(tiny())
    (tmp_path / "plain-8-s0" / "metrics.jsonl").write_bytes(b"\x00\xff garbage\n{}\n[1]\n")
    page, _ = write_report_of(tmp_path)
    assert "planned" in page.read_text()
    assert read_study(tmp_path).runs[0].train == []


def test_a_report_is_made_again_only_if_something_has_changed(tmp_path):
    study, drawn = tmp_path / "study", []
    folder = RunFolder(study / "plain-8-s0")
    folder.create(tiny())

    def drawings():
        drawn.clear()
        write_report(compare_study(study), show=drawn.append)
        return len(drawn)

    number = drawings()
    assert number
    assert drawn[0] == f"Drawing figure 1 of {number}: training and test error"
    assert drawings() == 0
    folder.append_event("started", 0)
    assert drawings() == number
    (study / "curves.png").write_bytes(b"damaged")
    assert drawings() == number
    (study / "traces.svg").unlink()
    assert drawings() == number
    write_report(compare_study(study), "epoch", show=drawn.append)
    assert len(drawn) == 2 * number
