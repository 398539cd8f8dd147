"""How a config departs from the paper's recipe."""

from resnet_lab.config.files import load_study
from resnet_lab.config.paper import always, departures, recipe_for
from tests.folders import FOLDER_DATA, folder_config


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


def test_the_imagenet_preset_departs_only_by_its_held_out_images():
    config = load_study("imagenet").run(kind="residual", depth=34)
    assert recipe_for(config).section == "Sec. 3.4"
    assert [sentence.split()[0] for sentence in departures(config)] == ["The", "1,271,167"]
    assert config.epoch_steps == 4966
    deeper = load_study("imagenet", ["model.block=bottleneck", "model.shortcut=B"]).run(kind="residual", depth=152)
    assert len(departures(deeper)) == 2
    others = [
        (["model.shortcut=B"], 18, "18-layer network uses option A"),
        (["model.block=bottleneck"], 50, "bottleneck networks use option B"),
        (["model.block=bottleneck", "model.shortcut=B", "model.stride_on=3x3"], 50, "released models have it on the first 1x1"),
        (["recipe.warmup.from_depth=34"], 34, "the paper warms up only CIFAR networks"),
    ]
    for overrides, depth, words in others:
        sentences = departures(load_study("imagenet", overrides).run(kind="residual", depth=depth))
        assert (len(sentences), words in sentences[2]) == (3, True), sentences
    assert "128 images" not in " ".join(always(config))
    assert "128 images" in " ".join(always(load_study("paper").run(kind="plain", depth=20)))
    assert "10 images; the paper's is measured on 50,000" in " ".join(
        departures(folder_config(data=FOLDER_DATA | {"test_images": 10}))
    )


def test_the_papers_bn_statistics_over_64_images_are_no_departure():
    def sentence(*overrides):
        return next((s for s in always(load_study("paper", overrides).run(kind="plain", depth=20)) if "computed over" in s), None)

    assert sentence("compute.replicas=2") is None
    assert sentence() == (
        "BN statistics are computed over the whole batch; the paper splits its 128 images over two GPUs, so its BN statistics "
        "are over 64 images."
    )
    assert sentence("compute.replicas=2", "compute.bn=sync") == sentence()
    assert sentence("compute.replicas=4").startswith("BN statistics are computed over 32 of the batch's 128 images; the paper")
    config = load_study("imagenet", ["compute.replicas=8", "data.validation_images=10007"]).run(kind="residual", depth=18)
    assert any("over 32 of the batch's 256 images; the paper does not state" in sentence for sentence in always(config))
