"""The terms of the paper and the field that settings and results are written in."""

from typing import Literal, get_args

Kind = Literal["plain", "residual"]
Shortcut = Literal["A", "B", "C"]
Layout = Literal["cifar", "imagenet"]
Dataset = Literal["cifar10", "cifar100", "folder", "synthetic", "auto"]
Padding = Literal["end", "both"]

KINDS: tuple[Kind, ...] = get_args(Kind)
PROJECTION_VARIANTS = ("residual-B", "residual-C")  # their parameters are more than those of the plain network
RESIDUAL_VARIANTS = ("residual", *PROJECTION_VARIANTS)
VARIANTS = ("plain", *RESIDUAL_VARIANTS)  # what ModelConfig.variant can be
# Classes of the data sets whose images are the same everywhere.
CLASSES: dict[str, int] = {"cifar10": 10, "cifar100": 100, "synthetic": 10, "auto": 10}
