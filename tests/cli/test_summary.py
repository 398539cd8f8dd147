"""`resnet-lab summary`: counts of the paper's networks, pairs and their drawing, the images of the settings."""

import json
from pathlib import Path

import pytest


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_summary_counts_parameters_and_multiply_adds(cli, kind):
    answer = cli("summary", "--depth", 56, f"--{kind}", "--json")
    values = json.loads(answer.out)
    assert (values["parameters"], values["multiply_adds"]) == (853_018, 125_485_696)
    assert (values["kind"], values["depth"], len(values["layers"])) == (kind, 56, 56)
    table = cli("summary", "--depth", 20, f"--{kind}").out
    assert "269,722" in table
    assert "40,551,040" in table
    assert "stages.2.2.conv2" in table


def test_summary_counts_the_imagenet_networks_of_table_1(cli):
    answer = cli(
        "summary", "--depth", 50, "--layout", "imagenet", "--block", "bottleneck", "--shortcut", "B", "--residual", "--json"
    )
    values = json.loads(answer.out)
    assert (values["parameters"], values["layout"], values["shortcut"]) == (25_557_032, "imagenet", "B")
    assert values["multiply_adds"] == pytest.approx(3.8e9, abs=0.1e9)
    assert values["activation_bytes"] > values["block_activation_bytes"] > 0
    fewer = json.loads(cli("summary", "--depth", 18, "--layout", "imagenet", "--plain", "--classes", 10, "--json").out)
    assert fewer["layers"][-1]["output_shape"] == [10]


def test_summary_of_a_pair_shows_and_draws_the_differences(cli):
    values = json.loads(cli("summary", "--depth", 20, "--pair", "--shortcut", "C", "--json").out)
    assert values["differences"]["parameters"] == 283_962 - 269_722
    assert (values["kind"], values["parameters"], values["plain"]["parameters"]) == ("residual", 283_962, 269_722)
    assert set(values["differences"]["shortcuts"].values()) == {"projection"}
    answer = cli("summary", "--depth", 20, "--pair", "--draw", "drawn.svg")
    assert "the shortcuts are the only difference" in answer.err
    assert "zero-padded identity" in answer.out
    drawing = Path("drawn.svg").read_text()
    assert drawing.count("3x3 conv, 16") == 2 * 7
    assert drawing.count("zero padding") == 2
    refused = cli("summary", "--depth", 20, "--plain", "--draw", "drawn.gif")
    assert (refused.code, "ending in .svg, .png or .pdf" in refused.err) == (2, True)


def test_summary_uses_the_classes_and_image_size_of_the_settings(cli):
    def counted(*arguments):
        values = json.loads(cli("summary", "--residual", *arguments, "--json").out)
        return values["num_classes"], values["image_size"], values["parameters"]

    assert counted("--depth", 20, "--set", "data.dataset=cifar100") == (100, 32, 275_572)
    smaller = ["--set", "data.num_classes=10", "--set", "data.image_size=32"]
    assert counted("--config", "imagenet", "--depth", 34, *smaller) == (10, 32, 21_115_978)
    assert counted("--config", "imagenet", "--depth", 34) == counted("--layout", "imagenet", "--depth", 34)
    assert counted("--layout", "imagenet", "--depth", 34, "--classes", 10) == (10, 224, 21_115_978)
    assert cli("summary", "--depth", 8, "--draw", "both.png").code == 0  # both networks, so no kind need be said


def test_summary_says_how_a_batch_is_split(cli):
    answer = cli("summary", "--depth", 20, "--residual", "--config", "paper", "--set", "compute.replicas=2")
    assert "a batch of 128 images is split into 2 parts; BN statistics are over each part of 64 images." in answer.err
    assert "is split" not in cli("summary", "--depth", 20, "--residual", "--config", "paper").err
