"""The list of analyses, and results that are written, read back and shown in the report."""

import json
from pathlib import Path

import pytest

from resnet_lab.analysis.gradients import gradients
from resnet_lab.analysis.identity import identity
from resnet_lab.analysis.registry import analyses, findings, read
from resnet_lab.analysis.responses import responses
from resnet_lab.analysis.results import save
from resnet_lab.analysis.subject import subjects
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import read_study
from resnet_lab.report.write import write_report
from resnet_lab.study.compare import compare_study
from tests.builders import CPU, copied_state, same_tensors, trained_subject


def test_results_are_deterministic_and_read_back_equal(study):
    subject = trained_subject(study, "residual-8-s0")
    before = copied_state(subject.net)
    for analyse in (lambda: responses(subject, 10), lambda: gradients(subject, 2), lambda: identity(subject, 14, None, 10)):
        result = analyse()
        assert result == analyse()
        save(subject.folder, result)
        assert result in read(subject.folder, subject.config.model)[0]
    assert same_tensors(before, copied_state(subject.net))
    assert [stored.analysis for stored in read(subject.folder, subject.config.model)[0]] == ["gradients", "identity", "responses"]


def test_report_without_analyses_has_no_section_on_them(study):
    assert findings(read_study(study).runs) == ([], [])
    assert ">Why<" not in write_report(compare_study(study))[0].read_text()


def test_every_analysis_is_registered_under_the_name_in_its_results():
    assert [analysis.name for analysis in analyses()] == [
        "identity",
        "responses",
        "gradients",
        "correlation",
        "paths",
        "landscape",
        "line",
    ]
    for analysis in analyses():
        assert analysis.result.model_fields["analysis"].default == analysis.name


LINE = {
    "step": 8, "analysis": "line", "other": "plain-14-s0", "other_step": 8, "bn": "batch", "train_images": 9, "test_images": 9,
    "positions": [0.0, 1.0], "train_losses": [1.0, 2.0], "train_errors": [0.1, 0.2], "test_losses": [1.0, 2.0],
    "test_errors": [0.1, 0.2],
}  # fmt: skip
SLICE = {
    "step": 8, "analysis": "landscape", "dims": 2, "bn": "batch", "seed": 0, "images": 9, "coordinates": [0.0, 1.0],
    "losses": [[1.0, 2.0], [1.0, None]], "errors": [[0.1, 0.2], [0.1, 0.2]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "damage"),
    [
        (LINE, {"train_errors": [0.1]}),
        (LINE, {"positions": [0.0, 1.0, 2.0]}),
        (LINE, {"positions": [2.0, 3.0]}),
        (SLICE, {"losses": [[1.0, 2.0]]}),
        (SLICE, {"errors": [[0.1, 0.2], [0.1]]}),
        (SLICE, {"dims": 1}),
        (SLICE, {"coordinates": []}),
    ],
)
def test_result_whose_lists_do_not_fit_together_is_left_out(study, values, damage):
    folder = RunFolder(study / "plain-8-s0")
    folder.make_analysis()
    (folder.analysis / "odd.json").write_text(json.dumps(values))
    assert len(read(folder, folder.config().model)[0]) == 1
    (folder.analysis / "odd.json").write_text(json.dumps(values | damage))
    assert read(folder, folder.config().model) == (
        [],
        ["plain-8-s0/analysis/odd.json is not a valid result of an analysis and is left out."],
    )


@pytest.mark.parametrize("content", ['{"analysis": "unknown", "step": 0}', "[]", "{}", "\xff", '{"analysis": "responses"'])
def test_file_that_is_not_a_result_is_reported_and_left_out(study, content):
    folder = RunFolder(study / "plain-8-s0")
    folder.make_analysis()
    (folder.analysis / "odd.json").write_text(content, encoding="latin-1")
    assert read(folder, folder.config().model) == (
        [],
        ["plain-8-s0/analysis/odd.json is not a valid result of an analysis and is left out."],
    )


def test_report_reads_every_result_file_once(study, monkeypatch):
    folder = RunFolder(study / "plain-8-s0")
    save(folder, gradients(next(subjects([folder], None, CPU)), 1))
    opened = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read_bytes(path))
    write_report(compare_study(study))
    assert opened.count("gradients-00000008.json") == 1
