"""Lines of metrics.jsonl and events.jsonl that are not records."""

import json

import pytest

from resnet_lab.record.lines import event_from_line, record_from_line


@pytest.mark.parametrize("line", ["", "[]", "3", '{"type":"x"}', '{"type":"train","step":1}', "\x00\xff", '{"type":["train"]}'])
def test_torn_and_foreign_lines_are_not_records(line):
    assert record_from_line(line) is None
    assert event_from_line(line) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("step", "<b>"), ("step", -1), ("step", 1.0), ("step", True), ("step", 2**63), ("error", "0.5"), ("error", None),
     ("error", 1.01), ("error", float("nan")), ("lr", float("inf")), ("images", 0), ("seconds", -1.0), ("seconds", 1e300),
     ("more", 1)],
)  # fmt: skip
def test_a_line_with_an_impossible_value_is_not_a_record(key, value):
    line = {"type": "train", "step": 1, "error": 0, "loss": float("nan"), "lr": 0.1, "images": 1, "seconds": 1}
    assert record_from_line(json.dumps(line)) is not None
    assert record_from_line(json.dumps(line | {key: value})) is None
