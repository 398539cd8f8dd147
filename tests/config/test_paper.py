"""How a config departs from the paper's recipe."""

from resnet_lab.config.files import load_study
from resnet_lab.config.paper import departures


def test_the_papers_recipe_departs_in_nothing_and_others_say_where():
    assert departures(load_study("paper").run(kind="plain", depth=56)) == []
    found = " ".join(departures(load_study("smoke").run(kind="plain", depth=8)))
    for words in ("synthetic stand-in", "800 images are trained on", "30 steps", "batch has 32", "starts at 0.05", "stem has 4"):
        assert words in found
    assert "plateau" not in found
    assert any("15 checks" in sentence for sentence in departures(load_study().run(kind="plain", depth=20)))


def test_other_networks_than_the_papers_for_cifar_are_departures():
    overrides = ["model.layout=imagenet", "model.block=bottleneck", "model.shortcut=B"]
    found = departures(load_study("paper", overrides).run(kind="residual", depth=50))
    assert [sentence.split()[:3] for sentence in found] == [
        ["The", "network", "is"], ["Blocks", "are", "bottlenecks;"], ["Shortcuts", "are", "of"]
    ]  # fmt: skip
