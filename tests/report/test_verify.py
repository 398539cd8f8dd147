"""`verify`: what it compares, what it leaves open, and what it says of runs of older versions."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from resnet_lab.cli import verify as command
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.digest import data_digest, order_digest
from resnet_lab.data.load import load, training_batches
from resnet_lab.errors import DiskError
from resnet_lab.models.digest import weights_digest
from resnet_lab.models.resnet import build
from resnet_lab.record import sums
from resnet_lab.record.files import read_json, write_json
from resnet_lab.record.lines import EvalRecord, TrainRecord, to_line
from resnet_lab.record.store import RunFolder
from resnet_lab.report.verify import verify
from resnet_lab.report.write import write_comparison, write_report
from resnet_lab.run import experiment
from resnet_lab.run.experiment import run
from resnet_lab.study.compare import compare_study
from tests.builders import CPU, fake_cifar10, settings, tiny, written_study

LINES = [
    "identity", "files", "checkpoints", "exports", "analyses", "records", "repeats", "pairs", "data", "numbers", "figures",
]  # fmt: skip


def outcomes(study: Path, data_dir: Path | None = None) -> dict[str, str]:
    return {check.name: check.outcome for check in verify(study, data_dir).checks}


def faults(study: Path, name: str, data_dir: Path | None = None) -> str:
    [found] = [check for check in verify(study, data_dir).checks if check.name == name]
    return " ".join(fault.what for fault in found.faults)


def said(study: Path, name: str) -> str:
    [found] = [check for check in verify(study).checks if check.name == name]
    return found.says


def rewrite(path: Path, change) -> None:
    """Change the lines of a file that only grows."""
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


def without_end(folder: RunFolder) -> RunFolder:
    """A run as a killed process leaves it: its last event is not there, so that its files are not compared with it."""
    rewrite(folder.path / "events.jsonl", lambda lines: [line for line in lines if '"finished"' not in line])
    return folder


def test_a_trained_study_passes_and_the_report_says_so_until_its_records_change(cli, study):
    write_report(study, compare_study(study))
    assert "Verified on" not in (study / "report" / "report.md").read_text()
    answer = cli("verify", "s", "--json")
    assert answer.code == 0, answer.err
    values = json.loads(answer.out)
    assert [check["check"] for check in values["checks"]] == LINES
    left_open = {check["check"] for check in values["checks"] if check["outcome"] == "open"}
    assert left_open == {"exports", "analyses", "repeats", "data"}
    assert read_json(study / "verified.json") == {key: value for key, value in values.items() if key != "study"}
    write_report(study, compare_study(study))
    for name in ("report.md", "index.html"):
        assert f"Verified on {values['date']}: " in (study / "report" / name).read_text()
    assert cli("verify", "s").code == 0  # of the pages that say so
    RunFolder(study / "plain-8-s0").append(TrainRecord(8, 0.5, 1.0, 0.05, 48, 1.0))
    write_report(study, compare_study(study))
    assert "Verified on" not in (study / "report" / "report.md").read_text()


def test_a_fault_is_exit_6_with_what_is_wrong_and_what_to_do_and_nothing_is_verified_any_more(cli, study):
    assert cli("verify", "s").code == 0
    path = study / "plain-8-s0" / "checkpoints" / "step-00000008.pt"
    path.write_bytes(path.read_bytes()[:-1])
    answer = cli("verify", "s")
    assert answer.code == 6
    assert "checkpoints: plain-8-s0/checkpoints/step-00000008.pt is damaged (its sha256 differs). Restore it" in answer.out
    assert "runs/s has faults: checkpoints." in answer.err
    assert not (study / "verified.json").exists()
    values = json.loads(cli("verify", "s", "--json").out)
    assert values["verified"] is False
    [found] = [fault for check in values["checks"] for fault in check["faults"]]
    assert set(found) == {"what", "to_do"}


def test_the_committed_studies_pass_and_what_older_versions_did_not_record_is_no_fault():
    reference = Path(__file__).parents[2] / "reference"
    found = {check.name: check for check in verify(reference / "quick").checks}
    assert not any(check.faults for check in found.values())
    assert found["checkpoints"].says == "none here"
    assert all(found[name].says.startswith("not recorded") for name in ("files", "analyses", "pairs", "figures"))
    assert found["records"].outcome == found["identity"].outcome == found["numbers"].outcome == "ok"


def test_a_study_on_a_disk_that_can_only_be_read_is_checked(cli, study, monkeypatch):
    def refused(found):
        raise DiskError("runs/s cannot be used: Read-only file system.")

    monkeypatch.setattr(command.checking, "note_verified", refused)
    answer = cli("verify", "s")
    assert answer.code == 0
    assert "verified.json is left as it is: runs/s cannot be used" in answer.err


def test_matched_pairs_record_equal_digests(study):
    starts = {path.name: RunFolder(path).events()[0].detail["sha256"] for path in sorted(study.glob("*-s0"))}
    for depth in (8, 14):
        assert starts[f"plain-{depth}-s0"] == starts[f"residual-{depth}-s0"] | {
            "environment.json": starts[f"plain-{depth}-s0"]["environment.json"]
        }
    plain = starts["plain-8-s0"], starts["plain-14-s0"]
    assert plain[0]["initial weights"] != plain[1]["initial weights"]
    assert plain[0]["order and augmentation"] == plain[1]["order and augmentation"]


@pytest.mark.parametrize("what", ["initial weights", "training images", "order and augmentation"])
def test_a_pair_that_is_not_matched_is_a_fault(study, what):
    path = study / "residual-8-s0" / "events.jsonl"

    def change(lines):
        values = json.loads(lines[0])
        values["detail"]["sha256"][what] = "0" * 64
        return [json.dumps(values), *lines[1:]]

    rewrite(path, change)
    assert faults(study, "pairs") == f"plain-8-s0 and residual-8-s0 differ in: {what}."
    assert "residual-8-s0/events.jsonl is not as the run left it" in faults(study, "files")


def test_digests_of_weights_leave_projections_out_and_follow_seed_and_names():
    networks = {}
    for kind, shortcut in (("plain", "A"), ("residual", "A"), ("residual", "B"), ("residual", "C")):
        model = tiny(model={"kind": kind, "depth": 8, "width": 4, "shortcut": shortcut}).model
        networks |= {(kind, shortcut, seed): weights_digest(build(model, seed)) for seed in (0, 1)}
    assert len({digest for (_, _, seed), digest in networks.items() if seed == 0}) == 1
    assert len(set(networks.values())) == 2


def test_digests_of_data_and_order_follow_pixels_labels_and_seed():
    config = tiny()
    data = load(config.data, Path(), 0)
    pixel, label = data.train.images.clone(), data.train.labels.clone()
    pixel[7, 1, 2, 3] += 1
    label[7] = (label[7] + 1) % 10
    changed = [dataclasses.replace(data.train, images=pixel), dataclasses.replace(data.train, labels=label)]
    assert len({data_digest(each) for each in (data, *(dataclasses.replace(data, train=train) for train in changed))}) == 3
    orders = [order_digest(training_batches(data, batch_size, seed)) for batch_size, seed in ((16, 0), (16, 0), (16, 1), (8, 0))]
    assert orders[0] == orders[1]
    assert len(set(orders)) == 3
    torch.testing.assert_close(training_batches(data, 16, 0)(3)[0], training_batches(data, 16, 0)(3)[0], rtol=0, atol=0)


def test_repeated_records_must_agree_unless_exactness_was_void(study):
    folder = without_end(RunFolder(study / "plain-8-s0"))
    assert said(study, "repeats") == "no step was repeated after a resume"
    record = folder.read().train[0]
    folder.append_event("resumed", 0, skipped=[], changed={})
    folder.append(dataclasses.replace(record, seconds=9.0))
    assert said(study, "repeats") == "1 repeated record equal in all but seconds"
    folder.append_event("resumed", 0, skipped=[], changed={})
    folder.append(dataclasses.replace(record, loss=record.loss + 1e-6))
    assert faults(study, "repeats").startswith(
        "plain-8-s0: repeated after a resume, these records came out otherwise: train at step 5."
    )
    folder.append_event("resumed", 3, skipped=[], changed={"threads": 2})
    assert faults(study, "repeats") == ""
    assert "exactness is void in plain-8-s0 from step 3 (changed: threads)" in said(study, "repeats")


def test_a_run_that_was_killed_and_went_on_agrees_with_itself(monkeypatch):
    monkeypatch.setattr(experiment, "CHECKPOINT_SECONDS", 0.0)
    folder, config = RunFolder(Path("runs/s/residual-8-s0")), tiny()
    killed = run(config, folder, CPU, measure_speed=False)
    said_until(killed, EvalRecord, 14)
    monkeypatch.setattr(experiment, "CHECKPOINT_SECONDS", 60.0)
    said_until(killed, EvalRecord, 21)
    killed.close()
    list(run(config, folder, CPU, measure_speed=False))
    assert [event.name for event in folder.events() if event.name != "checkpointed"] == ["started", "resumed", "finished"]
    assert set(outcomes(folder.path.parent).values()) == {"ok", "open"}
    assert said(folder.path.parent, "repeats") == "5 repeated records equal in all but seconds"


def said_until(going, kind, step):
    """Let a run go on to its record of this kind and step."""
    return next(each for each in going if isinstance(each, kind) and each.step == step)


def test_of_a_run_that_was_started_again_elsewhere_nothing_was_promised(study):
    folder = without_end(RunFolder(study / "plain-8-s0"))
    record = folder.read().train[0]
    folder.append_event("started", 0, sha256={"environment.json": "0" * 64})
    folder.append(dataclasses.replace(record, loss=record.loss + 1e-6))
    assert faults(study, "repeats") == ""
    assert "from step 0 (started again elsewhere)" in said(study, "repeats")


def test_records_out_of_order_missing_torn_or_not_due_are_faults(study):
    folder = without_end(RunFolder(study / "plain-8-s0"))
    path, whole = folder.path / "metrics.jsonl", (folder.path / "metrics.jsonl").read_text()
    assert "has its last record, and no event says that it is finished" in faults(study, "records")
    folder.append(TrainRecord(5, 0.5, 1.0, 0.05, 80, 1.0))
    assert "is of step 5, after step 8 and without a resume" in faults(study, "records")
    folder.append_event("resumed", 4, skipped=[], changed={})
    assert "without a resume" not in faults(study, "records")
    path.write_text(whole)
    rewrite(path, lambda lines: [line for line in lines if '"type":"train","step":5' not in line])
    assert "train records are missing of steps 5" in faults(study, "records")
    path.write_text(whole + to_line(TrainRecord(9, 0.5, 1.0, 0.05, 80, 1.0)))
    assert "train records are there of steps at which none is due: 9" in faults(study, "records")
    path.write_text('{"type":"tra\n' + whole)
    assert "line of metrics.jsonl" not in faults(study, "records")  # a resumed run may have one torn line
    path.write_text('{"type":"tra\n' * 3 + whole)
    assert "3 lines of metrics.jsonl cannot be read, and 1 interruption recorded" in faults(study, "records")


def test_a_run_that_stopped_is_checked_as_far_as_it_came(study):
    folder = without_end(RunFolder(study / "plain-8-s0"))
    rewrite(folder.path / "metrics.jsonl", lambda lines: [line for line in lines if '"step":8' not in line])
    assert outcomes(study)["records"] == "ok"


def test_checkpoints_that_are_missing_or_not_listed_are_faults(study):
    folder = RunFolder(study / "plain-8-s0")
    newest = folder.checkpoints / "step-00000008.pt"
    (folder.checkpoints / "step-00000099.pt").write_bytes(newest.read_bytes())
    newest.unlink()
    found = faults(study, "checkpoints")
    assert "step-00000008.pt is listed and missing." in found
    assert "step-00000099.pt is not listed in manifest.json." in found
    without_end(folder)  # killed while it wrote the newest one
    assert "step-00000008.pt" not in faults(study, "checkpoints")


def test_lists_that_point_out_of_their_folder_open_nothing(study, tmp_path):
    (tmp_path / "outside").write_text("kept")
    names = ["../../outside", str(tmp_path / "outside"), "/dev/zero", "a" * 300, "\0", ".", "sha256.json/x"]
    write_json(study / sums.LIST, {name: [1] for name in names})
    write_json(study / "plain-8-s0" / "checkpoints" / "manifest.json", {name: [1] for name in names})
    assert faults(study, "figures").count("is listed and missing") == len(names)
    assert "cannot be read" not in faults(study, "checkpoints")
    write_comparison(study, compare_study(study))
    assert outcomes(study)["figures"] == "ok"


def study_on_cifar10() -> Path:
    """A study whose runs say which data they have learnt from."""
    study = written_study()
    for folder in study.iterdir():
        write_json(folder / "environment.json", {"data": {"dataset": "CIFAR-10", "md5": CIFAR10.files}})
    return study


def test_data_is_compared_where_it_is(tmp_path):
    study = study_on_cifar10()
    assert said(study, "data") == "not here: CIFAR-10 is not in data"
    assert outcomes(study)["data"] == "open"
    assert faults(study, "data", fake_cifar10(tmp_path / "fake")).count("wrong md5") == len(CIFAR10.files)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / CIFAR10.archive).write_bytes(b"not the data")
    assert "cifar-10-python.tar.gz: wrong md5" in faults(study, "data", tmp_path / "archive")
    write_json(study / "plain-8-s0" / "environment.json", {"data": {"md5": {"test_batch": "0"}}})
    assert "plain-8-s0/environment.json has other md5s of CIFAR-10" in faults(study, "data")


def test_the_real_data_is_right(cifar10):
    study = study_on_cifar10()
    assert outcomes(study, cifar10)["data"] == "ok"


def test_what_was_made_of_other_records_is_a_fault_and_how_to_make_it_anew(cli, study):
    write_report(study, compare_study(study))
    folder = without_end(RunFolder(study / "plain-8-s0"))
    rewrite(folder.path / "metrics.jsonl", lambda lines: [line for line in lines if '"step":8' not in line])
    answer = cli("verify", "s")
    assert answer.code == 6
    assert "summary.json is not what these records give, in: verdict" in answer.out
    assert "`resnet-lab compare runs/s` writes it anew." in answer.out
    said = "curves.pdf, curves.png, curves.svg and 11 more: made of other records. `resnet-lab report runs/s` makes"
    assert f"figures: {said}" in answer.out
    for stem in ("depth", "degradation"):  # no longer a part of the report
        for path in study.glob(f"{stem}.*"):
            path.unlink()
    write_report(study, compare_study(study))
    assert cli("verify", "s").code == 0


def test_a_study_may_be_given_another_name(study):
    write_comparison(study, compare_study(study))
    assert outcomes(study.rename(study.with_name("theirs")))["numbers"] == "ok"


def test_of_running_runs_nothing_is_drawn_into_doubt_and_nothing_written_down(cli, study):
    write_comparison(study, compare_study(study))
    folder = without_end(RunFolder(study / "plain-8-s0"))
    rewrite(folder.path / "metrics.jsonl", lambda lines: [line for line in lines if '"step":8' not in line])
    with folder.lock():
        answer = cli("verify", "s")
    assert answer.code == 0, answer.out
    assert "not compared: runs are going on" in answer.out
    assert not (study / "verified.json").exists()


def test_a_study_that_has_not_begun_has_nothing_to_check():
    folder = RunFolder(Path("runs/s/plain-8-s0"))
    folder.create(tiny(**settings(model__kind="plain")))
    assert set(outcomes(Path("runs/s")).values()) == {"open"}
