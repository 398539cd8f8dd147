"""The terms of the paper and the field that settings and results are written in."""

from typing import Literal, get_args

Kind = Literal["plain", "residual"]
Shortcut = Literal["A", "B", "C"]
Block = Literal["basic", "bottleneck"]
Layout = Literal["cifar", "imagenet"]
Dataset = Literal["cifar10", "cifar100", "folder", "synthetic", "auto"]
Padding = Literal["end", "both"]
StrideOn = Literal["1x1", "3x3"]
ImageFiles = Literal["cifar10", "cifar100", "folder"]  # data sets that are files on a disk
Normalisation = Literal["per-pixel", "imagenet", "channel"]
RecordFiles = Literal["csv", "tensorboard"]  # forms in which records are exported
WeightFiles = Literal["torchvision", "safetensors"]  # and weights

KINDS: tuple[Kind, ...] = get_args(Kind)
PROJECTION_VARIANTS = ("residual-B", "residual-C")  # their parameters are more than those of the plain network
RESIDUAL_VARIANTS = ("residual", *PROJECTION_VARIANTS)
VARIANTS = ("plain", *RESIDUAL_VARIANTS)  # what ModelConfig.variant can be
# Classes of the data sets whose images are the same everywhere.
CLASSES: dict[str, int] = {"cifar10": 10, "cifar100": 100, "synthetic": 10, "auto": 10}
