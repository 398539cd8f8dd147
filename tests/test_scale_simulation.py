"""The simulation of a study on several GPUs in `benchmarks/simulation.py`."""

import importlib.util
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import ROOT

_SPEC = importlib.util.spec_from_file_location("simulation", ROOT / "benchmarks" / "simulation.py")
simulation = sys.modules["simulation"] = importlib.util.module_from_spec(_SPEC)  # dataclasses look their module up
_SPEC.loader.exec_module(simulation)
Preemptions, lower_bound, simulate = simulation.Preemptions, simulation.lower_bound, simulation.simulate

work = st.lists(st.floats(1, 100_000), min_size=1, max_size=40)
places = st.integers(1, 12)


@given(work)
def test_one_gpu_takes_the_total(seconds):
    assert simulate(seconds, 1).makespan == pytest.approx(sum(seconds))


@given(work, places, st.integers(1, 4))
def test_the_time_is_between_the_bounds_of_list_scheduling(seconds, gpus, packed):
    num_places = gpus * packed
    outcome = simulate(seconds, gpus, packed)
    assert outcome.makespan >= lower_bound(seconds, num_places) * (1 - 1e-9)
    assert outcome.makespan <= (sum(seconds) / num_places + max(seconds) * (1 - 1 / num_places)) * (1 + 1e-9)
    assert (outcome.interruptions, outcome.lost) == (0, 0.0)


@settings(max_examples=50)
@given(work, places, st.integers(0, 5))
def test_a_preemption_costs_at_most_a_checkpoint_interval_and_a_restart(seconds, gpus, seed):
    rules = Preemptions(interval=3600.0, checkpoint=120.0, restart=60.0)
    outcome = simulate(seconds, gpus, 1, rules, seed)
    assert outcome.lost <= rules.checkpoint * outcome.interruptions
    assert outcome.makespan >= lower_bound(seconds, gpus) * (1 - 1e-9)
    graham = sum(seconds) / gpus + max(seconds)
    cost = rules.checkpoint + rules.restart
    assert outcome.makespan <= (graham + cost) * rules.interval / (rules.interval - cost) + 2 * cost
    assert simulate(seconds, gpus, 1, rules, seed) == outcome


def test_a_run_resumes_from_its_last_checkpoint():
    first = simulation.random.Random(0).random() * 1000.0  # 844 s: 7 checkpoints of 120 s, and 4 s lost
    outcome = simulate([1500.0], 1, 1, Preemptions(interval=1000.0, checkpoint=120.0, restart=10.0))
    assert outcome.interruptions == 1
    assert outcome.lost == pytest.approx(first % 120.0)
    assert outcome.makespan == pytest.approx(1500.0 + 10.0 + outcome.lost)


def test_runs_that_cannot_progress_are_refused():
    with pytest.raises(ValueError, match="there must be time"):
        Preemptions(interval=180.0)
