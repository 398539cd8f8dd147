"""`sweep --until-decided`: seeds are added until the verdict is decided, and looks are recorded."""

import json

import pytest

from resnet_lab.config.files import load_study
from resnet_lab.record.lines import EvalRecord
from resnet_lab.record.sequential import read_design
from resnet_lab.record.store import RunFolder
from resnet_lab.sweep.grid import expand, folder_of
from resnet_lab.sweep.launch import Outcome
from resnet_lab.sweep.plan import Plan
from tests.builders import write_config
from tests.sweep.harness_ray import RayHarness

WIDE = (0.05, 0.09, 0.07, 0.08, 0.06)  # undecided with three seeds, shown with four


@pytest.fixture
def config(tmp_path):
    path = write_config(tmp_path / "two.toml", recipe__steps=8, evaluation__every=8)
    path.write_text(path.read_text().replace("depths = [8]", "depths = [8, 14]\nseeds = [0, 1]"))
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "two"


def finish_run(run, folder, gaps):
    """Write a finished run; `gaps` are the plain nets' gaps by seed."""
    folder.create(run)
    error = 0.2 + gaps[run.seed] * (run.model.kind == "plain") * (run.model.depth == 14)
    folder.append(EvalRecord(run.recipe.steps, error, 0.1, 100, None, None, error, 0.1, 1.0))
    folder.append_event("finished", run.recipe.steps)


def finish(config, study, gaps):
    """Write the finished runs of a study of these gaps, one for each seed."""
    for run in expand(load_study(str(config)).with_seeds(range(len(gaps)))):
        finish_run(run, folder_of(run, study), gaps)


def finishes_runs(gaps):
    """A stand-in for Plan.start that ends every run at once."""

    def start(plan, launcher, stop):
        plan.create()
        for job in plan.jobs:
            config = next(run.forecast.config for run in plan.runs if run.folder == job.folder)
            finish_run(config, job.folder, gaps)
            yield Outcome(job.folder, 0)

    return start


def test_seeds_are_added_until_the_verdict_is_decided(cli, config, folder, monkeypatch):
    monkeypatch.setattr(Plan, "start", finishes_runs(WIDE))
    answer = cli("sweep", config, "--until-decided", "--json")
    assert answer.code == 0, answer.err
    assert "undecided; run 1 more seed" in answer.err
    assert "Adding seed 3." in answer.err
    values = json.loads(answer.out)
    assert sorted(run["run"] for run in values["runs"] if run["seed"] == 3) == [
        "plain-14-s3", "plain-8-s3", "residual-14-s3", "residual-8-s3"
    ]  # fmt: skip
    decided = values["until_decided"]
    assert (decided["degradation"], decided["seeds_needed"], decided["max_seeds"]) == ("shown", 0, 10)
    assert "over 4 seeds, look 2 of at most 8" in decided["verdict"]
    looks = read_design(folder).looks
    assert [(look.seeds, look.verdict) for look in looks] == [((0, 1, 2), "undecided"), ((0, 1, 2, 3), "shown")]
    again = cli("sweep", config, "--until-decided")
    assert again.code == 0
    assert read_design(folder).looks == looks
    assert "Degradation shown in plain nets" in again.err
    assert "look 2 of at most 8" in cli("compare", folder).out


def diverges(kind, gaps):
    """A stand-in for Plan.start in which the deeper network of this kind diverges with seed 1."""

    def start(plan, launcher, stop):
        plan.create()
        for job in plan.jobs:
            config = next(run.forecast.config for run in plan.runs if run.folder == job.folder)
            if (config.model.kind, config.model.depth, config.seed) == (kind, 14, 1):
                job.folder.append_event("diverged", 3)
                yield Outcome(job.folder, 4)
            else:
                finish_run(config, job.folder, gaps)
                yield Outcome(job.folder, 0)

    return start


def test_a_diverged_run_stops_the_looks_only_if_the_verdict_rests_on_it(cli, config, folder, monkeypatch):
    monkeypatch.setattr(Plan, "start", diverges("residual", WIDE))
    answer = cli("sweep", config, "--until-decided")
    assert answer.code == 5
    assert [look.verdict for look in read_design(folder).looks] == ["undecided", "shown"]
    monkeypatch.setattr(Plan, "start", diverges("plain", WIDE))
    answer = cli("sweep", config, "--until-decided", "--study", "other")
    assert answer.code == 5
    assert "plain-14-s1 (diverged)" in answer.err
    assert read_design(folder.with_name("other")).looks == ()


def test_the_depths_of_the_verdict_are_fixed(cli, config, folder, monkeypatch):
    monkeypatch.setattr(Plan, "start", finishes_runs(WIDE))
    assert cli("sweep", config, "--until-decided").code == 0
    assert read_design(folder).depths == (8, 14)
    answer = cli("sweep", config, "--until-decided", "--set", "sweep.depths=[8, 20]")
    assert answer.code == 2
    assert "compares depth 8 and 14, which was fixed before the first look" in answer.err


def test_max_seeds_ends_the_sweep_and_cannot_be_changed_later(cli, config, folder, monkeypatch):
    monkeypatch.setattr(Plan, "start", finishes_runs((0.05, -0.09, 0.07)))
    answer = cli("sweep", config, "--until-decided", "--max-seeds", 3)
    assert answer.code == 0
    assert "more than the 3 seeds of --max-seeds would be needed" in answer.err
    assert "All 3 seeds are used up." in answer.err
    answer = cli("sweep", config, "--until-decided", "--max-seeds", 6)
    assert answer.code == 2
    assert "--max-seeds is 3 in" in answer.err


def test_max_seeds_cannot_be_chosen_after_three_seeds(cli, config, folder):
    finish(config, folder, WIDE[:2])
    assert cli("sweep", config, "--until-decided", "--max-seeds", 6, "--dry-run").code == 0
    finish(config, folder, WIDE[:3])
    answer = cli("sweep", config, "--until-decided", "--max-seeds", 6, "--dry-run")
    assert answer.code == 2
    assert "--max-seeds must be chosen before 3 seeds have finished" in answer.err
    assert cli("sweep", config, "--until-decided", "--max-seeds", 10, "--dry-run").code == 0


def test_resumed_sweep_counts_earlier_looks_and_seeds_added_by_hand(cli, config, folder, monkeypatch):
    def stops_after_three_seeds(plan, launcher, stop):
        if any(run.forecast.config.seed == 3 for run in plan.runs):
            raise KeyboardInterrupt
        return finishes_runs((0.05, -0.09, 0.07))(plan, launcher, stop)

    monkeypatch.setattr(Plan, "start", stops_after_three_seeds)
    assert cli("sweep", config, "--until-decided", "--max-seeds", 4).code == 130
    assert [look.seeds for look in read_design(folder).looks] == [(0, 1, 2)]
    finish(config, folder, (0.05, -0.09, 0.07, 0.01))
    assert cli("sweep", config, "--until-decided").code == 0
    assert [look.seeds for look in read_design(folder).looks] == [(0, 1, 2), (0, 1, 2, 3)]


def test_dry_run_says_how_many_seeds_are_expected_and_writes_nothing(cli, config, folder):
    answer = cli("sweep", config, "--until-decided", "--dry-run")
    assert "looked at with 3 seeds, and with each further one until it is decided, at most 10" in answer.err
    assert "plain-14-s2" in answer.err
    finish(config, folder, WIDE[:3])
    answer = cli("sweep", config, "--until-decided", "--dry-run")
    assert "1 more seed will decide the verdict; at most 10 are run in all" in answer.err
    values = json.loads(cli("sweep", config, "--until-decided", "--dry-run", "--json").out)["until_decided"]
    assert (values["seeds_needed"], values["looks"], values["seeds"]) == (1, [], [0, 1, 2])
    assert read_design(folder) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-seeds", 5], "--max-seeds is an option of --until-decided"),
        (["--until-decided", "--max-seeds", 2], "--max-seeds must be from 3 (the first look) to 50, got 2"),
        (
            ["--until-decided", "--launcher", "slurm"],
            "--until-decided needs --launcher local or ray; with slurm, the sweep does not",
        ),
        (["--until-decided", "--set", "sweep.depths=[8]"], "--until-decided compares plain nets of two depths"),
        (["--until-decided", "--set", 'sweep.kinds=["residual"]'], "--until-decided compares plain nets of two depths"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_written(cli, config, folder, options, message):
    answer = cli("sweep", config, *options)
    assert answer.code == 2
    assert message in answer.err
    assert not folder.exists()


def test_damaged_record_of_the_looks_ends_the_sweep_with_a_sentence(cli, config, folder):
    finish(config, folder, WIDE)
    (folder / "sequential.json").write_text("{")
    answer = cli("sweep", config, "--until-decided")
    assert answer.code == 2
    assert "sequential.json is not valid: restore it" in answer.err


PLAIN_NETS = ("--until-decided", "--max-seeds", "4", "--set", 'sweep.kinds=["plain"]')


def check_each_look_has_finished_runs(folder):
    looks = read_design(folder).looks
    assert 1 <= len(looks) <= 2
    seeds = looks[-1].seeds
    assert seeds == tuple(range(len(looks) + 2))
    for depth in (8, 14):
        assert all(RunFolder(folder / f"plain-{depth}-s{seed}").read().state == "finished" for seed in seeds)


@pytest.mark.slow
def test_processes_are_started_for_each_added_seed(cli, config, folder):
    answer = cli("sweep", config, *PLAIN_NETS, "--threads", 1)
    assert answer.code == 0, answer.err
    check_each_look_has_finished_runs(folder)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_tasks_are_started_on_a_ray_cluster_for_each_added_seed(cluster, config, folder, tmp_path):
    harness = RayHarness(tmp_path, cluster)
    harness.start(config, *PLAIN_NETS)
    assert harness.finish() == 0, harness.err
    check_each_look_has_finished_runs(folder)
