"""The speed of a training step: its measurement, and what is calculated from it."""

import itertools
import threading
import time

import pytest
import torch

from resnet_lab.run import estimate
from resnet_lab.run.estimate import PARTS, Speed, background_training, measure, measuring_seconds, sample
from tests.builders import tiny

CPU = torch.device("cpu")


def test_a_sample_times_the_parts_of_each_step_and_every_fifth_evaluation(monkeypatch):
    readings = itertools.accumulate(itertools.count(1))  # a clock by which every measurement takes longer than the one before
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(readings)))
    speeds = list(itertools.islice(sample(tiny(), CPU), 12))
    assert all(tuple(speed.parts) == PARTS for speed in speeds)
    seconds = [part for speed in speeds for part in speed.parts.values()]
    assert all(earlier < later for earlier, later in itertools.pairwise(seconds))
    repeats = [len(list(group)) for _, group in itertools.groupby(speed.eval_image_seconds for speed in speeds)]
    assert repeats == [5, 5, 2]  # measured at the first, sixth and eleventh step


def test_scaling_a_speed_does_not_change_the_time_for_data():
    speed = Speed({"data": 1.0, "forward": 2.0, "backward": 4.0, "optimizer": 0.5}, 0.1).scaled(3)
    assert speed.parts == {"data": 1.0, "forward": 6.0, "backward": 12.0, "optimizer": 1.5}
    assert (speed.step_seconds, speed.eval_image_seconds) == (20.5, pytest.approx(0.3))


def test_measuring_seconds_counts_all_steps_and_evaluations():
    speed = Speed({"data": 0.0, "forward": 0.5, "backward": 0.5, "optimizer": 0.0}, 0.001)
    # one step before those that count, three that take three seconds, and two evaluations of 500 images
    assert measuring_seconds(speed) == (1 + 3) * 1.0 + 2 * 500 * 0.001
    quick = Speed({"data": 0.0, "forward": 0.05, "backward": 0.05, "optimizer": 0.0}, 0.001)
    assert measuring_seconds(quick) == pytest.approx((1 + 5) * 0.1 + 1.0)


def test_background_training_lasts_as_long_as_the_measurement():
    before = threading.active_count()
    with background_training(tiny(), CPU, 2):
        assert threading.active_count() == before + 2
        assert measure(tiny(), CPU).step_seconds > 0
    assert threading.active_count() == before
    with background_training(tiny(), CPU, 0):
        assert threading.active_count() == before


def test_large_images_are_evaluated_one_by_one(monkeypatch):
    monkeypatch.setattr(estimate, "_EVAL_IMAGES", 0.5)  # as with images of 1,024 x 1,024 pixels
    assert next(sample(tiny(), CPU)).eval_image_seconds > 0
