"""From a data config to the data itself: the one place that knows which data sets there are."""

from pathlib import Path

from resnet_lab.config import DataConfig
from resnet_lab.data import cifar10, synthetic
from resnet_lab.data.images import Data, split

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load(config: DataConfig, folder: Path, seed: int) -> Data:
    """The data of a run, split by its seed. `folder` is where CIFAR-10 is looked for; raises DataError."""
    if config.dataset == "cifar10":
        training, test = cifar10.load(folder)
        provenance = {"dataset": "CIFAR-10", "md5": cifar10.FILES}
        return split(training, test, config, seed, classes=CIFAR10_CLASSES, provenance=provenance)
    assert config.dataset == "synthetic", "`auto` is resolved before a run is created"
    training, test = synthetic.synthesise("train", config.train_images), synthetic.synthesise("test", config.test_images)
    provenance = {"dataset": "synthetic stand-in", "generator": "resnet_lab.data.synthetic, seed 0"}
    return split(training, test, config, seed, classes=synthetic.CLASSES, provenance=provenance)
