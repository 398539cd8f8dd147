"""`verify`: what it compares, what it skips, and what it reports about runs of older versions."""

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
from resnet_lab.record import checksums
from resnet_lab.record.files import read_json, write_json
from resnet_lab.record.lines import EvalRecord, TrainRecord, to_line
from resnet_lab.record.store import RunFolder
from resnet_lab.report.checks import pairs
from resnet_lab.report.verify import verify
from resnet_lab.report.write import write_comparison, write_report
from resnet_lab.run.experiment import run
from resnet_lab.study.compare import compare_study
from tests.builders import CPU, fake_cifar10, made_run, settings, tiny, written_study

CHECKS = [
    "identity", "files", "checkpoints", "exports", "analyses", "records", "repeats", "pairs", "data", "numbers", "figures",
]  # fmt: skip


def outcomes(study: Path, data_dir: Path | None = None) -> dict[str, str]:
    return {check.name: check.outcome for check in verify(study, data_dir).checks}


def faults(study: Path, name: str, data_dir: Path | None = None) -> str:
    [found] = [check for check in verify(study, data_dir).checks if check.name == name]
    return " ".join(fault.problem for fault in found.faults)


def detail(study: Path, name: str) -> str:
    [found] = [check for check in verify(study).checks if check.name == name]
    return found.detail


def rewrite(path: Path, change) -> None:
    """Change the lines of an append-only file."""
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))


def without_finish(folder: RunFolder) -> RunFolder:
    """Remove the `finished` event, as if the process had been killed before it."""
    rewrite(folder.path / "events.jsonl", lambda lines: [line for line in lines if '"finished"' not in line])
    return folder


def test_a_trained_study_passes_and_the_report_says_so_until_records_change(cli, study):
    write_report(compare_study(study))
    assert "Verified on" not in (study / "report" / "report.md").read_text()
    answer = cli("verify", "s", "--json")
    assert answer.code == 0, answer.err
    values = json.loads(answer.out)
    assert [check["check"] for check in values["checks"]] == CHECKS
    skipped = {check["check"] for check in values["checks"] if check["outcome"] == "skipped"}
    assert skipped == {"exports", "analyses", "repeats", "data"}
    assert read_json(study / "verified.json") == {key: value for key, value in values.items() if key != "study"}
    write_report(compare_study(study))
    for name in ("report.md", "index.html"):
        assert f"Verified on {values['date']}: " in (study / "report" / name).read_text()
    assert cli("verify", "s").code == 0  # the pages with the date pass too
    RunFolder(study / "plain-8-s0").append(TrainRecord(8, 0.5, 1.0, 0.05, 48, 1.0))
    write_report(compare_study(study))
    assert "Verified on" not in (study / "report" / "report.md").read_text()


def test_a_fault_exits_with_6_names_a_remedy_and_removes_the_verification(cli, study):
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
    assert set(found) == {"problem", "remedy"}


def test_the_reference_studies_pass_although_older_versions_recorded_less():
    reference = Path(__file__).parents[2] / "reference"
    found = {check.name: check for check in verify(reference / "quick").checks}
    assert not any(check.faults for check in found.values())
    assert found["checkpoints"].detail == "none here"
    assert all(found[name].detail.startswith("not recorded") for name in ("files", "analyses", "pairs"))
    assert {found[name].outcome for name in ("records", "identity", "numbers", "figures")} == {"ok"}


def test_a_study_on_a_read_only_disk_is_checked(cli, study, monkeypatch):
    def refused(result):
        raise DiskError("runs/s cannot be used: Read-only file system.")

    monkeypatch.setattr(command.verification, "save_result", refused)
    answer = cli("verify", "s")
    assert answer.code == 0
    assert answer.err.strip() == "No fault. The date was not recorded, since runs/s cannot be written to."


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
    assert "residual-8-s0/events.jsonl has changed since the run finished" in faults(study, "files")


def started(weights, kind="residual", **settings):
    """A run whose initial weights have this digest."""
    made = made_run(kind, 8, model={"kind": kind, "depth": 8, "width": 4} | settings, varied=[f"model.{key}" for key in settings])
    digests = {"initial weights": weights, "training images": "1", "order and augmentation": "2"}
    event = dataclasses.replace(made.events[0], detail={"parameters": 1, "sha256": digests})
    return dataclasses.replace(made, events=[event])


@pytest.mark.parametrize(
    "settings", [{"shortcut_scale": 0.5}, {"branch_scale": "1/sqrt(blocks)"}, {"order": "bn-after-addition"}]
)
def test_a_residual_network_with_varied_shortcuts_is_matched_with_the_plain_one(settings):
    plain = started("a", "plain")
    assert pairs.pairs([plain, started("a", **settings)]).outcome == "ok"
    (fault,) = pairs.pairs([plain, started("b", **settings)]).faults
    assert fault.problem.endswith("-s0 differ in: initial weights.")


def test_networks_with_other_layers_have_a_counterpart_with_these_layers():
    plain = started("a", "plain")
    assert pairs.pairs([plain, started("b", span=1)]).skipped
    assert pairs.pairs([plain, started("b", span=1), started("b", "plain", span=1)]).outcome == "ok"
    assert pairs.pairs([started("a", "plain", norm="none"), started("b", norm="none")]).outcome == "ok"  # Fixup rescales weights


def test_the_digest_of_weights_depends_on_the_seed_but_not_on_projections():
    networks = {}
    for kind, shortcut in (("plain", "A"), ("residual", "A"), ("residual", "B"), ("residual", "C")):
        model = tiny(model={"kind": kind, "depth": 8, "width": 4, "shortcut": shortcut}).model
        networks |= {(kind, shortcut, seed): weights_digest(build(model, seed)) for seed in (0, 1)}
    assert len({digest for (_, _, seed), digest in networks.items() if seed == 0}) == 1
    assert len(set(networks.values())) == 2


def test_digests_of_data_and_order_depend_on_pixels_labels_and_seed():
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


def test_repeated_records_must_be_equal_while_the_run_is_reproducible(study):
    folder = without_finish(RunFolder(study / "plain-8-s0"))
    assert detail(study, "repeats") == "no step was repeated after a resume"
    record = folder.read().train[0]
    folder.append_event("resumed", 0, skipped=[], changed={})
    folder.append(dataclasses.replace(record, seconds=9.0))
    assert detail(study, "repeats") == "1 repeated record equal except for seconds"
    folder.append_event("resumed", 0, skipped=[], changed={})
    folder.append(dataclasses.replace(record, loss=record.loss + 1e-6))
    assert faults(study, "repeats").startswith(
        "plain-8-s0: records repeated after a resume differ from the first ones: train at step 5."
    )
    folder.append_event("resumed", 3, skipped=[], changed={"threads": 2})
    assert faults(study, "repeats") == ""
    assert "not exactly reproducible: plain-8-s0 from step 3 (changed: threads)" in detail(study, "repeats")


def test_a_killed_and_resumed_run_passes():
    folder, config = RunFolder(Path("runs/s/residual-8-s0")), tiny(log__keep=[14])
    killed = run(config, folder, CPU, measure_speed=False)
    next(item for item in killed if isinstance(item, EvalRecord) and item.step == 21)
    killed.close()
    list(run(config, folder, CPU, measure_speed=False))
    assert [event.name for event in folder.events() if event.name != "checkpointed"] == ["started", "resumed", "finished"]
    assert set(outcomes(folder.path.parent).values()) == {"ok", "skipped"}
    assert detail(folder.path.parent, "repeats") == "5 repeated records equal except for seconds"


def test_records_may_differ_after_a_second_start_in_another_environment(study):
    folder = without_finish(RunFolder(study / "plain-8-s0"))
    record = folder.read().train[0]
    folder.append_event("started", 0, sha256={"environment.json": "0" * 64})
    folder.append(dataclasses.replace(record, loss=record.loss + 1e-6))
    assert faults(study, "repeats") == ""
    assert "from step 0 (started again in another environment)" in detail(study, "repeats")


def test_records_out_of_order_missing_incomplete_or_not_due_are_faults(study):
    folder = without_finish(RunFolder(study / "plain-8-s0"))
    path, whole = folder.path / "metrics.jsonl", (folder.path / "metrics.jsonl").read_text()
    assert "has its last record, but no event that it is finished" in faults(study, "records")
    folder.append(TrainRecord(5, 0.5, 1.0, 0.05, 80, 1.0))
    assert "has step 5 after step 8 without a resume" in faults(study, "records")
    folder.append_event("resumed", 4, skipped=[], changed={})
    assert "without a resume" not in faults(study, "records")
    path.write_text(whole)
    rewrite(path, lambda lines: [line for line in lines if '"type":"train","step":5' not in line])
    assert "train records are missing at steps 5" in faults(study, "records")
    path.write_text(whole + to_line(TrainRecord(9, 0.5, 1.0, 0.05, 80, 1.0)))
    assert "train records are not due at steps 9" in faults(study, "records")
    path.write_text('{"type":"tra\n' + whole)
    assert "line of metrics.jsonl cannot" not in faults(study, "records")  # an interrupted run may have one
    path.write_text('{"type":"tra\n' * 3 + whole)
    assert "3 lines of metrics.jsonl cannot be read, but the events record 1 interruption" in faults(study, "records")


def test_a_stopped_run_is_checked_up_to_its_last_step(study):
    folder = without_finish(RunFolder(study / "plain-8-s0"))
    rewrite(folder.path / "metrics.jsonl", lambda lines: [line for line in lines if '"step":8' not in line])
    assert outcomes(study)["records"] == "ok"


def test_missing_and_unlisted_checkpoints_are_faults(study):
    folder = RunFolder(study / "plain-8-s0")
    newest = folder.checkpoints / "step-00000008.pt"
    (folder.checkpoints / "step-00000099.pt").write_bytes(newest.read_bytes())
    newest.unlink()
    found = faults(study, "checkpoints")
    assert "step-00000008.pt is listed but missing." in found
    assert "step-00000099.pt is not listed in manifest.json." in found
    without_finish(folder)  # the run may have been killed while writing it
    assert "step-00000008.pt" not in faults(study, "checkpoints")


def test_names_in_lists_that_point_outside_their_folder_are_not_opened(study, tmp_path):
    (tmp_path / "outside").write_text("kept")
    names = ["../../outside", str(tmp_path / "outside"), "/dev/zero", "a" * 300, "\0", ".", "sha256.json/x"]
    write_json(study / checksums.LIST, {name: [1] for name in names})
    write_json(study / "plain-8-s0" / "checkpoints" / "manifest.json", {name: [1] for name in names})
    assert faults(study, "figures").count("is listed but missing") == len(names)
    assert "cannot be read" not in faults(study, "checkpoints")
    write_comparison(compare_study(study))
    assert outcomes(study)["figures"] == "ok"


def study_on_cifar10() -> Path:
    """A study whose runs record that they were trained on CIFAR-10."""
    study = written_study()
    for folder in study.iterdir():
        write_json(folder / "environment.json", {"data": {"dataset": "CIFAR-10", "md5": CIFAR10.files}})
    return study


def test_data_is_compared_if_it_is_on_this_machine(tmp_path):
    study = study_on_cifar10()
    assert detail(study, "data") == "not compared: CIFAR-10 is not in data"
    assert outcomes(study)["data"] == "skipped"
    assert faults(study, "data", fake_cifar10(tmp_path / "fake")).count("wrong md5") == len(CIFAR10.files)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / CIFAR10.archive).write_bytes(b"not the data")
    assert "cifar-10-python.tar.gz: wrong md5" in faults(study, "data", tmp_path / "archive")
    write_json(study / "plain-8-s0" / "environment.json", {"data": {"md5": {"test_batch": "0"}}})
    assert "plain-8-s0/environment.json has other md5s than the published ones of CIFAR-10" in faults(study, "data")


def test_the_real_cifar10_passes(cifar10):
    study = study_on_cifar10()
    assert outcomes(study, cifar10)["data"] == "ok"


def test_files_made_from_other_records_are_a_fault_with_a_remedy(cli, study):
    write_report(compare_study(study))
    folder = without_finish(RunFolder(study / "plain-8-s0"))
    rewrite(folder.path / "metrics.jsonl", lambda lines: [line for line in lines if '"step":8' not in line])
    answer = cli("verify", "s")
    assert answer.code == 6
    assert "summary.json does not match these records in: verdict" in answer.out
    assert "`resnet-lab compare runs/s` writes it again." in answer.out
    problem = "curves.pdf, curves.png, curves.svg and 14 more: made from other records. `resnet-lab report runs/s` writes"
    assert f"figures: {problem}" in answer.out
    for stem in ("depth", "degradation"):  # no longer a part of the report
        for path in study.glob(f"{stem}.*"):
            path.unlink()
    write_report(compare_study(study))
    assert cli("verify", "s").code == 0


def test_a_renamed_study_passes(study):
    write_comparison(compare_study(study))
    assert outcomes(study.rename(study.with_name("theirs")))["numbers"] == "ok"


def test_active_runs_are_not_faults_and_the_date_is_not_recorded(cli, study):
    write_comparison(compare_study(study))
    folder = without_finish(RunFolder(study / "plain-8-s0"))
    rewrite(folder.path / "metrics.jsonl", lambda lines: [line for line in lines if '"step":8' not in line])
    with folder.lock():
        answer = cli("verify", "s")
    assert answer.code == 0, answer.out
    assert "not compared: runs are active" in answer.out
    assert not (study / "verified.json").exists()


def test_nothing_is_checked_in_a_study_that_has_not_started():
    folder = RunFolder(Path("runs/s/plain-8-s0"))
    folder.create(tiny(**settings(model__kind="plain")))
    assert set(outcomes(Path("runs/s")).values()) == {"skipped"}
