"""`compare A B`: the errors of each study and of all runs together, or the settings in which they differ."""

import json
import shutil
from pathlib import Path

from resnet_lab.record.lines import EvalRecord
from resnet_lab.record.sequential import Design, write_design
from resnet_lab.record.store import RunFolder
from tests.builders import KINDS, tiny


def study(name: str, seeds, train_error=0.2, **changes) -> None:
    """Finished runs of depth 8 and 14 on CIFAR-10; the deeper plain ones have a higher error."""
    for kind in KINDS:
        for depth in (8, 14):
            for seed in seeds:
                model = {"kind": kind, "depth": depth, "width": 4}
                folder = RunFolder(Path("runs") / name / tiny(model=model, seed=seed).name)
                folder.create(tiny(model=model, seed=seed, data__dataset="cifar10", **changes))
                error = train_error + (0.3 if (kind, depth) == ("plain", 14) else 0.0) + seed / 1000
                folder.append(EvalRecord(30, error, 1.0, 80, 0.5, 1.0, error + 0.1, 1.0, 1.0))
                folder.append_event("finished", 30)


def test_studies_of_one_recipe_are_shown_side_by_side_and_compared_together(cli):
    study("a", (0, 1))
    study("b", (2,), train_error=0.21)
    answer = cli("compare", "a", "b")
    assert answer.code == 0, answer.err
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["network", "study", "train", "test", "seeds"] in rows
    assert ["plain-14", "a", "50.05", "±", "0.07", "60.05", "±", "0.07", "2"] in rows
    assert ["plain-14", "b", "51.20", "61.20", "1"] in rows
    assert ["plain,", "14", "-", "8", "3"] in [row[:5] for row in rows]
    assert list(Path("runs").rglob("curves.*")) == []
    values = json.loads(cli("compare", "a", "b", "--json").out)
    assert values["study"] == "a and b"
    assert [part["study"] for part in values["studies"]] == ["a", "b"]
    assert values["cells"][2]["train_error"]["values"] == [0.5, 0.501, 0.51 + 0.002]
    assert [len(cell["seeds"]) for cell in values["cells"]] == [3] * 4
    assert cli("compare", "a", "b", "--expect-degradation").code == 0
    answer = cli("compare", "a", "b", "--out", "out")
    assert Path("out/curves.png").exists()
    assert json.loads(Path("out/summary.json").read_text())["study"] == "a and b"
    assert "studies" not in json.loads(cli("compare", "a", "--json").out)


def test_studies_with_other_settings_are_refused_with_the_keys(cli):
    study("a", (0,))
    study("b", (1,), recipe__lr=0.1, log__every=3)
    answer = cli("compare", "a", "b")
    assert answer.code == 2
    assert answer.out == ""
    assert (
        "a and b have different recipes and cannot be compared as one study: log.every is 5 and 3; recipe.lr is 0.05 and 0.1."
        in answer.err
    )


def test_a_study_whose_seeds_are_added_until_it_is_decided_is_not_compared_with_others(cli):
    study("a", (0, 1, 2))
    study("b", (3,))
    write_design(Path("runs/a"), Design(first_look=3, max_seeds=5))
    answer = cli("compare", "a", "b")
    assert answer.code == 2
    assert "a adds seeds until its verdict is decided" in answer.err
    assert cli("compare", "a").code == 0


def test_the_same_run_counts_once_and_one_with_other_records_is_named(cli):
    study("a", (0,))
    shutil.copytree("runs/a", "runs/b")
    answer = cli("compare", "a", "b")
    assert "left out" not in answer.err
    assert [cell["seeds"] for cell in json.loads(cli("compare", "a", "b", "--json").out)["cells"]] == [[0]] * 4
    shutil.rmtree("runs/b")
    study("b", (0,), train_error=0.25)
    answer = cli("compare", "a", "b")
    assert answer.code == 0
    assert "plain-8-s0: that of b is left out, since a has one with other records." in answer.err
    assert "nothing" in cli("compare", "a", "nothing").err


def test_a_study_whose_looks_are_lost_is_not_compared_together_with_others(cli):
    study("a", (0, 1, 2))
    study("b", (3, 4, 5))
    Path("runs/b/sequential.json").write_text("{")
    answer = cli("compare", "a", "b", "--expect-degradation")
    assert answer.code == 2
    assert "b adds seeds until its verdict is decided" in answer.err
