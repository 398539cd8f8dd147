"""Types and names shared by settings and results: kinds, shortcuts, layouts, variants, file formats."""

from typing import Literal, get_args

Kind = Literal["plain", "residual"]
Shortcut = Literal["A", "B", "C"]
Layout = Literal["cifar", "imagenet"]
Padding = Literal["end", "both"]
BranchScale = Literal[1, "1/sqrt(blocks)", "learnable"]
Order = Literal["original", "preactivation", "bn-after-addition", "relu-before-addition"]
Init = Literal["he", "dirac", "orthogonal"]
Norm = Literal["batch", "none"]
Normalisation = Literal["per-pixel", "imagenet", "channel"]
Optimizer = Literal["sgd", "adamw", "muon"]
RecordFiles = Literal["csv", "tensorboard", "mlflow", "wandb"]  # export formats of records
WeightFiles = Literal["torchvision", "safetensors"]  # export formats of weights

KINDS: tuple[Kind, ...] = get_args(Kind)
PROJECTION_VARIANTS = ("residual-B", "residual-C")  # have more parameters than the plain network
RESIDUAL_VARIANTS = ("residual", *PROJECTION_VARIANTS)
VARIANTS = ("plain", *RESIDUAL_VARIANTS)  # the values of ModelConfig.variant
