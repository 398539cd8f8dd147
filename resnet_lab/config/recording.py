"""What is measured and kept while a network is trained."""

from typing import Annotated, Literal

from pydantic import Field

from resnet_lab.config.durations import Duration, Integer
from resnet_lab.config.identity import Later
from resnet_lab.config.section import Section


class EvaluationConfig(Section):
    """How often the network is evaluated, and on how many training images; all validation and test images are used."""

    every: Duration = Field(1_000, gt=0, description="steps between evaluations")
    train_images: Integer = Field(5_000, ge=1, description="seeded subset for the clean training error during training")
    final_train_images: Annotated[Integer, Field(ge=1)] | Literal["all"] = Field(
        "all", description="the same at the last evaluation, from which the verdict is computed"
    )
    final_test_views: Later[Literal[1, 10]] = Field(
        1, description="views per test image at the last evaluation: 1 (centre crop) or 10 (four corners, centre and their flips)"
    )


class LogConfig(Section):
    """How often the running training error is recorded, and which checkpoints are kept."""

    every: Duration = Field(50, gt=0, description="steps between records of the running training error and loss")
    keep: tuple[Duration, ...] = Field((), strict=False, description="steps whose checkpoints are never deleted, for `analyze`")
