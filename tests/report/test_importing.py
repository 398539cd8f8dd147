"""`runs import`: parts of a study from several machines become one; what differs or is damaged changes nothing."""

import json
import shutil
from pathlib import Path

import pytest

from resnet_lab.config.schema import RunConfig
from resnet_lab.record.sequential import Design, write_design
from resnet_lab.record.store import RunFolder
from resnet_lab.report import importing
from resnet_lab.report.verify import verify
from resnet_lab.run.experiment import run
from tests.builders import CPU, stop_at, tiny

NAMES = ["plain-14-s0", "plain-8-s0", "residual-14-s0", "residual-8-s0"]


@pytest.fixture
def parts(study) -> list[Path]:
    """The runs of `study` on two machines: a/s has the plain ones, b/s the residual ones."""
    folders = []
    for machine, kind in (("a", "plain"), ("b", "residual")):
        folders.append(Path(machine) / "s")
        for folder in study.glob(f"{kind}-*"):
            shutil.copytree(folder, folders[-1] / folder.name)
    (folders[0] / "curves.png").write_bytes(b"a figure of this part")
    shutil.rmtree(study)
    return folders


def settings_of(kind: str, depth: int) -> RunConfig:
    return tiny(model__kind=kind, model__depth=depth, recipe__steps=8, log__keep=[4], evaluation__every=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def names_in(study: Path) -> list[str]:
    return sorted(path.name for path in study.iterdir())


def test_parts_become_one_study_which_passes_all_checks(cli, parts):
    before = [contents(part) for part in parts]
    answer = cli("runs", "import", *parts, "--study", "whole")
    assert answer.code == 0, answer.err
    assert f"Imported into runs/whole: {', '.join(NAMES[:2])}, {', '.join(NAMES[2:])}." in answer.err
    whole = Path("runs/whole")
    assert names_in(whole) == NAMES
    assert [path.name for path in Path("runs").iterdir()] == ["whole"]
    assert [contents(part) for part in parts] == before
    for part in parts:
        for folder in part.glob("*-s0"):
            assert contents(whole / folder.name) == {
                name: content for name, content in contents(folder).items() if name[0] != "."
            }
    assert verify(whole).passed
    assert json.loads(cli("compare", "whole", "--json").out)["interaction"] is not None


def test_a_run_that_is_there_already_is_skipped_and_the_default_name_is_that_of_the_first_study(cli, parts):
    assert cli("runs", "import", parts[0] / "plain-8-s0").code == 0
    assert names_in(Path("runs/s")) == ["plain-8-s0"]
    answer = cli("runs", "import", *parts)
    assert answer.code == 0
    assert "plain-8-s0: skipped, runs/s has it already." in answer.err
    assert names_in(Path("runs/s")) == NAMES
    told = json.loads(cli("runs", "import", *parts, "--json").out)
    assert (told["study"], told["imported"], sorted(told["skipped"])) == ("runs/s", [], NAMES)
    answer = cli("runs", "import", *parts)
    assert answer.code == 0
    assert "Nothing to import: runs/s has all of these runs." in answer.err


def test_the_same_run_with_other_records_is_refused_and_nothing_is_imported(cli, parts):
    cli("runs", "import", parts[0])
    before = contents(Path("runs"))
    shutil.rmtree(parts[0] / "plain-8-s0")
    list(run(settings_of("plain", 8), RunFolder(parts[0] / "plain-8-s0"), CPU))
    answer = cli("runs", "import", parts[1], parts[0], "--study", "s")
    assert answer.code == 2
    assert "runs/s/plain-8-s0 and a/s/plain-8-s0 are the same run with different records" in answer.err
    assert contents(Path("runs")) == before


def test_parts_with_other_settings_are_refused_with_the_keys(cli, parts):
    RunFolder(Path("c/s/plain-20-s0")).create(tiny(model__kind="plain", model__depth=20, recipe__lr=0.2, log__every=3))
    answer = cli("runs", "import", parts[0], "c/s")
    assert answer.code == 2
    assert "recipe.lr is 0.05 and 0.2" in answer.err
    assert "log.every is 5 and 3" in answer.err
    assert "model." not in answer.err
    assert not Path("runs/s").exists()


@pytest.mark.parametrize("name", ["config.json", "environment.json", "metrics.jsonl", "checkpoints/step-00000008.pt"])
def test_a_damaged_run_is_refused_and_leaves_nothing(cli, parts, name):
    path = parts[1] / "residual-8-s0" / name
    content = path.read_bytes()
    text = content.replace(b"0.05", b"0.06") if name == "config.json" else content[: len(content) // 2]
    path.write_bytes(text)
    answer = cli("runs", "import", *parts, "--study", "whole")
    assert answer.code == (2 if name == "config.json" else 6)
    assert "residual-8-s0" in answer.err
    assert list(Path("runs").rglob("*")) == []


def test_parts_that_are_not_matched_are_refused(cli, parts):
    events = parts[0] / "plain-8-s0" / "events.jsonl"
    lines = events.read_text().splitlines()
    start = json.loads(lines[0])
    start["detail"]["sha256"]["initial weights"] = "0" * 64
    events.write_text("\n".join([json.dumps(start), *lines[1:-1]]) + "\n")  # unfinished, so the end states no digest of it
    answer = cli("runs", "import", *parts, "--study", "whole")
    assert answer.code == 6
    assert "plain-8-s0 and residual-8-s0 differ in: initial weights" in answer.err


def test_a_run_in_use_is_refused_and_an_interrupted_one_is_imported(cli, parts):
    folder = RunFolder(parts[1] / "residual-8-s0")
    with folder.lock():
        answer = cli("runs", "import", *parts)
        assert answer.code == 75
        assert "b/s/residual-8-s0 is in use by process" in answer.err
    stop_at(5, settings_of("plain", 20), RunFolder(Path("c/s/plain-20-s0")), CPU)
    assert cli("runs", "import", *parts, "c/s").code == 0
    imported = RunFolder(Path("runs/s/plain-20-s0"))
    assert imported.read().state == "interrupted"
    list(run(settings_of("plain", 20), imported, CPU))
    assert imported.read().state == "finished"


def test_an_interrupted_import_leaves_no_run_and_the_next_one_starts_anew(cli, parts, monkeypatch):
    def interrupted(copy, target):
        (copy / NAMES[0] / "metrics.jsonl").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_require_intact", interrupted)
        patch.setattr(importing.shutil, "rmtree", lambda *arguments, **options: None)  # as if it had been killed
        with pytest.raises(KeyboardInterrupt):
            importing.import_runs(Path("runs"), parts)
    assert not Path("runs/s").exists()
    assert "There are no runs in runs" in cli("runs").out
    assert cli("runs", "import", *parts).code == 0
    assert names_in(Path("runs/s")) == NAMES
    assert names_in(Path("runs")) == ["s"]


def test_runs_of_a_study_whose_seeds_are_added_until_it_is_decided_are_refused(cli, parts):
    write_design(parts[0], Design(first_look=3, max_seeds=5))
    for name in (parts[0], parts[0] / "plain-8-s0"):
        answer = cli("runs", "import", parts[1], name)
        assert answer.code == 2
        assert "a/s belong to a study that adds seeds until its verdict is decided" in answer.err
    assert list(Path("runs").rglob("*")) == []


def test_a_folder_without_runs_is_refused_with_the_studies_in_it(cli, parts):
    answer = cli("runs", "import", "a")
    assert answer.code == 2
    assert "a holds no run: name the studies in it, which are a/s." in answer.err
    assert "nowhere holds no run: name a study's folder." in cli("runs", "import", "nowhere").err
    assert cli("runs", "import", *parts, "--study", "../x").code == 2
    assert sorted(path.name for path in Path().iterdir()) == ["a", "b", "runs"]
