"""Figure 14: no command fails with a traceback on a damaged record, event, config, environment, manifest, result or summary."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lab.cli import watch
from resnet_lab.report import figures
from resnet_lab.run import experiment
from tests.reliability.scale import times
from tests.reliability.strategies import damaged

FILES = times(50, 10_000)
DAMAGED = [
    "metrics.jsonl", "events.jsonl", "config.json", "environment.json", "checkpoints/manifest.json", "../summary.json",
    "analysis/responses-00000008.json", "analysis/sha256.json", "../sha256.json",
]  # fmt: skip
READERS = [
    ["runs", "s"], ["runs", "s", "--json"], ["runs", "s", "--watch"], ["compare", "s"], ["compare", "s", "--json", "--best"],
    ["report", "s"], ["export", "s", "--to", "csv"], ["export", "s", "--to", "tensorboard"],
]  # fmt: skip
OF_NETWORKS = [["evaluate", "s/plain-8-s0"], ["export", "s", "--to", "safetensors"], ["export", "s", "--to", "torchvision"]]
TRAINERS = [["train", "--run", "runs/s/plain-8-s0"]]
VERIFIERS = [["verify", "s"], ["verify", "s", "--json"]]


class _Begun(BaseException):
    """Raised where training would begin."""


@pytest.fixture
def damaged_run(study, cli, monkeypatch):
    """A run of a study, with a result of an analysis; training raises _Begun."""
    assert cli("analyze", "responses", "s/plain-8-s0", "--fast").code == 0
    assert cli("compare", "s").code == 0

    def begin(*arguments):
        raise _Begun

    monkeypatch.setattr(experiment, "fetch_data", begin)
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: None)  # --watch waits for a run without events
    return study / "plain-8-s0"


def test_no_damaged_file_ends_a_command_in_a_traceback(damaged_run, cli, monkeypatch, figure):
    contents = {name: (damaged_run / name).read_bytes() for name in DAMAGED}
    rendered, entitled = figures.rendered, figures.entitled
    outcomes = Counter()

    @settings(max_examples=FILES)
    @given(st.data(), st.sampled_from(DAMAGED), st.integers(0, 99))
    def check(data, name, number):
        drawn = number == 50
        commands = READERS + VERIFIERS + TRAINERS
        commands += [] if name == "config.json" else OF_NETWORKS  # a wide network could exhaust the memory
        words = data.draw(st.sampled_from(commands))
        monkeypatch.setattr(figures, "rendered", rendered if drawn else lambda *arguments: b"<svg></svg>")
        monkeypatch.setattr(figures, "entitled", entitled if drawn else lambda *arguments: None)
        (damaged_run / name).write_bytes(data.draw(damaged(contents[name])))
        try:
            answer = cli(*words)
        except _Begun:
            outcomes["trained"] += 1
            return
        finally:
            (damaged_run / name).write_bytes(contents[name])
        assert "Traceback" not in answer.err
        assert answer.code == 0 or (words not in READERS and answer.code in (2, 4, 6, 74)), answer.err
        outcomes[answer.code] += 1

    check()
    listed = ", ".join(
        f"{number:,} exit {code}" if code != "trained" else f"{number:,} trained" for code, number in outcomes.items()
    )
    figure(
        "14",
        f"{FILES:,} damaged files, each read by one of {len(READERS + VERIFIERS + TRAINERS + OF_NETWORKS)} commands",
        f"no traceback, no exit 1: {listed}",
    )
