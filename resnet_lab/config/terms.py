"""The terms of the paper and the field that settings and results are written in."""

from typing import Literal, get_args

Kind = Literal["plain", "residual"]
Shortcut = Literal["A", "B", "C"]
Layout = Literal["cifar", "imagenet"]
Padding = Literal["end", "both"]
Normalisation = Literal["per-pixel", "imagenet", "channel"]
RecordFiles = Literal["csv", "tensorboard"]  # forms in which records are exported
WeightFiles = Literal["torchvision", "safetensors"]  # and weights

KINDS: tuple[Kind, ...] = get_args(Kind)
PROJECTION_VARIANTS = ("residual-B", "residual-C")  # their parameters are more than those of the plain network
RESIDUAL_VARIANTS = ("residual", *PROJECTION_VARIANTS)
VARIANTS = ("plain", *RESIDUAL_VARIANTS)  # what ModelConfig.variant can be
