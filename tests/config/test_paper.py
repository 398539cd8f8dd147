"""How a config departs from the paper's recipe."""

from resnet_lab.config.files import load_study
from resnet_lab.config.paper import departures


def test_papers_recipe_has_no_departures_and_others_list_theirs():
    assert departures(load_study("paper").run(kind="plain", depth=56)) == []
    sentences = " ".join(departures(load_study("smoke").run(kind="plain", depth=8)))
    for words in (
        "synthetic stand-in",
        "800 images are used for training",
        "30 steps",
        "batch has 32",
        "starts at 0.05",
        "stem has 4",
    ):
        assert words in sentences
    assert "plateau" not in sentences
    assert any("15 checks" in sentence for sentence in departures(load_study().run(kind="plain", depth=20)))


def test_networks_that_differ_from_the_papers_are_departures():
    overrides = ["model.layout=imagenet", "model.block=bottleneck", "model.shortcut=B"]
    sentences = departures(load_study("paper", overrides).run(kind="residual", depth=50))
    assert [sentence.split()[:3] for sentence in sentences] == [
        ["The", "network", "has"], ["Blocks", "are", "bottlenecks;"], ["Shortcuts", "are", "option"]
    ]  # fmt: skip
