"""How a config departs from the paper's recipe."""

from resnet_lab.config.files import load_study
from resnet_lab.config.paper import always, departures, recipe_for
from tests.folders import FOLDER_DATA, folder_config


def test_the_imagenet_preset_departs_only_by_its_held_out_images():
    config = load_study("imagenet").run(kind="residual", depth=34)
    assert recipe_for(config).section == "Sec. 3.4"
    assert [sentence.split()[0] for sentence in departures(config)] == ["The", "1,271,167"]
    assert config.epoch_steps == 4966
    deeper = load_study("imagenet", ["model.block=bottleneck", "model.shortcut=B"]).run(kind="residual", depth=152)
    assert len(departures(deeper)) == 2
    others = [
        (["model.shortcut=B"], 18, "network of 18 layers has option A"),
        (["model.block=bottleneck"], 50, "networks of bottlenecks have option B"),
        (["model.block=bottleneck", "model.shortcut=B", "model.stride_on=3x3"], 50, "released models have it on the first 1x1"),
        (["recipe.warmup.from_depth=34"], 34, "the paper says so of CIFAR networks alone"),
    ]
    for overrides, depth, words in others:
        sentences = departures(load_study("imagenet", overrides).run(kind="residual", depth=depth))
        assert (len(sentences), words in sentences[2]) == (3, True), sentences
    assert "128 images" not in " ".join(always(config))
    assert "128 images" in " ".join(always(load_study("paper").run(kind="plain", depth=20)))
    assert "10 images; the paper's on 50,000" in " ".join(departures(folder_config(data=FOLDER_DATA | {"test_images": 10})))
