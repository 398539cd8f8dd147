"""A small folder of images that tests share, and the config of a run on it."""

from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional

from resnet_lab.config.schema import RunConfig
from resnet_lab.rng import generator
from resnet_lab.run.device import Resources
from tests.builders import settings

CLASSES = ("ant", "bee", "cat")
FOLDER_RESOURCES = Resources(data_dir=Path("images"), device="cpu", threads=1)
FOLDER_DATA = {
    "dataset": "folder", "num_classes": 3, "image_size": 32, "train_images": 36, "validation_images": 6, "test_images": 12,
}  # fmt: skip


def folder_config(**changes: object) -> RunConfig:
    """A run of six steps on the folder of images, evaluated every three steps and with ten crops at the end."""
    model = {"kind": "residual", "layout": "imagenet", "depth": 18, "width": 4}
    return RunConfig.model_validate(
        settings(**{
            "model": model, "data": FOLDER_DATA, "recipe__steps": 6, "recipe__batch_size": 8, "evaluation__every": 3,
            "evaluation__final_test_views": 10, **changes,
        })
    )  # fmt: skip


def smooth_picture(index: int, width: int, height: int) -> Image.Image:
    """A smooth picture, different for every index."""
    coarse = torch.rand(1, 3, 4, 5, generator=generator(index, "test/picture"))
    smooth = functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[0]
    pixels = (255 * smooth).to(torch.uint8).permute(1, 2, 0).contiguous()
    return Image.frombytes("RGB", (width, height), bytes(pixels.flatten().tolist()))


def write_images(root: Path) -> Path:
    """Write 12 training and 4 test images per class, of many shapes and three modes; returns the folder."""
    for part, count in (("train", 12), ("val", 4)):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                image = smooth_picture(100 * label + number + 50 * (part == "val"), 40 + 7 * number, 60 - 3 * label)
                suffix = "jpg" if number % 3 else "png"
                mode = {0: "L", 1: "RGB", 2: "RGBA"}[number % 3] if suffix == "png" else "RGB"
                image.convert(mode).save(root / part / name / f"{number:02}.{suffix}")
    return root
