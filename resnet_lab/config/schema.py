"""The settings of a run: frozen, typed, and validated together."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from resnet_lab.config.compute import ComputeConfig, compute_problems
from resnet_lab.config.datasets import DATASETS, Dataset, DatasetFacts, Sizes, size_problems
from resnet_lab.config.durations import Duration, Integer, in_steps
from resnet_lab.config.identity import Later, digest
from resnet_lab.config.model import ModelConfig
from resnet_lab.config.recording import EvaluationConfig, LogConfig
from resnet_lab.config.section import Section, conflicts
from resnet_lab.config.settings import Settings, flatten, get
from resnet_lab.config.terms import Optimizer
from resnet_lab.config.varied import VariedSettings, folder_name, values_of, varied_problem


class DataConfig(Section):
    """The images. `auto` is CIFAR-10 if it is available, else the synthetic stand-in, with a notice.

    A `folder` contains `train` and `val`, each with one folder of images per class (torchvision's ImageFolder layout). The images
    in `val` are used as test images.
    """

    dataset: Dataset = Field(
        "cifar10", description="`resnet-lab data --download` fetches cifar10 and cifar100; `--data-dir` names a folder"
    )
    num_classes: Later[Integer] = Field(10, ge=2, le=2**20, description="10, 100 for cifar100; required for a folder")
    image_size: Later[Integer] = Field(
        32, ge=32, le=4096, description="height and width of the network's input, in pixels: 32, for a folder 224 by default"
    )
    train_images: Integer = Field(50_000, ge=1, le=2**31, description="before the validation split; fewer take a seeded subset")
    validation_images: Integer = Field(5_000, ge=0, description="held out from the training images, chosen by the seed")
    test_images: Integer = Field(10_000, ge=1, le=2**31, description="a smaller number takes a seeded subset")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_sizes(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        dataset = raw.get("dataset", "cifar10")
        facts = DATASETS.get(dataset) if isinstance(dataset, str) else None
        if facts is None:
            return raw  # reported by the validation of `dataset`
        if facts.sizes is not None:
            return {"num_classes": facts.sizes.num_classes, "image_size": facts.sizes.image_size, **raw}
        if "num_classes" not in raw:
            raise conflicts(("data.num_classes", "required for a folder of images, such as --set data.num_classes=1000"))
        return {"image_size": 224, **raw}

    @model_validator(mode="after")
    def _sizes_match_data_set(self) -> Self:
        stated = Sizes(self.num_classes, self.image_size, self.train_images, self.test_images)
        problems = [(f"data.{key}", text) for key, text in size_problems(self.dataset, stated)]
        if problems:
            raise conflicts(*problems)
        return self

    @property
    def facts(self) -> DatasetFacts:
        """Properties of the data set."""
        return DATASETS[self.dataset]

    @property
    def num_train(self) -> int:
        """Number of images trained on, without the validation images."""
        return self.train_images - self.validation_images

    @property
    def guess_error(self) -> float:
        """The error of random guessing, a fraction."""
        return 1 - 1 / self.num_classes


class Plateau(Section):
    """Divide the lr when the validation error has not improved for `patience` checks (He et al. 2015, Sec. 3.4)."""

    name: Literal["plateau"] = Field("plateau", description="name of the schedule")
    every: Duration = Field(gt=0, description="steps between checks of the validation error; one epoch by default")
    patience: Integer = Field(15, ge=1, description="checks without a new best before the lr is divided")
    max_drops: Integer = Field(2, ge=0, description="how often the lr is divided at most")


class Milestones(Section):
    """Divide the lr at fixed steps (He et al. 2015, Sec. 4.2); with no milestones the lr is constant."""

    name: Literal["milestones"] = Field(description="name of the schedule")
    milestones: tuple[Duration, ...] = Field((), strict=False, description="steps at which the lr is divided, in ascending order")


class Warmup(Section):
    """The warm-up of very deep networks: `lr` until the running training error falls below `until_error` (Sec. 4.2)."""

    from_depth: Integer = Field(110, description="the smallest depth that is warmed up")
    lr: float = Field(0.01, gt=0, description="lr during the warm-up")
    until_error: float = Field(0.8, gt=0, lt=1, description="running training error, a fraction")
    window: Duration = Field(100, gt=0, description="steps over which the training error is measured")


class RecipeConfig(Section):
    """How a network is trained (He et al. 2015, Sec. 3.4 and 4.2)."""

    steps: Duration = Field(64_000, ge=0, description="updates of the weights, each with one batch")
    batch_size: Integer = Field(128, ge=1, description="images per step; the last batch of an epoch may be smaller")
    optimizer: Later[Optimizer] = Field(
        "sgd",
        description="sgd with momentum, adamw, or muon for the convolutions and adamw for the rest; see docs/interventions.md",
    )
    lr: float = Field(0.1, gt=0, description="usual values: 0.1 for sgd, 0.001 for adamw and muon")
    lr_factor: float = Field(0.1, gt=0, lt=1, description="factor applied to the lr at each drop")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd and muon (usual: 0.95); beta_1 of adamw (beta_2 is 0.999)")
    weight_decay: float = Field(
        1e-4, ge=0, description="on all parameters; sgd adds it to the gradient, adamw and muon decouple it (usual: 0.01 to 0.1)"
    )
    schedule: Annotated[Plateau | Milestones, Field(discriminator="name")]
    warmup: Warmup = Warmup()


class RunConfig(Section):
    """All settings that determine a run's results; durations are converted to steps."""

    model: ModelConfig
    seed: int = Field(0, ge=0, lt=2**32, description="seed of all random draws; the runs of a pair share it")
    data: DataConfig = DataConfig()
    recipe: RecipeConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    log: LogConfig = LogConfig()
    compute: ComputeConfig = ComputeConfig()
    varied: Later[tuple[str, ...]] = Field(
        (), strict=False, description="settings in which the run differs from its study, such as recipe.lr; part of its name"
    )

    @model_validator(mode="before")
    @classmethod
    def _convert_durations(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        return in_steps(raw, _epoch_steps(raw), RecipeConfig.model_fields["steps"].default)

    @model_validator(mode="after")
    def _has_no_conflicts(self) -> Self:
        problems = list(_conflicts(self))
        if problems:
            raise conflicts(*problems)
        return self

    @property
    def name(self) -> str:
        """The run's folder in its study, such as `plain-56-s0`, `residual-B-56-s0` or `plain-56-lr=0.05-s0`."""
        parts = [self.model.family, str(self.model.depth), folder_name(self.varied_settings), f"s{self.seed}"]
        return "-".join(filter(None, parts))

    @property
    def varied_settings(self) -> VariedSettings:
        """The values of the settings in `varied`, by key; none unless a sweep varies them in this run."""
        return values_of(self.varied, self.model_dump(mode="json")) if self.varied else {}

    @property
    def epoch_steps(self) -> int:
        """Steps per pass over the training images; the last batch may be smaller."""
        return math.ceil(self.data.num_train / self.recipe.batch_size)

    def digest(self) -> str:
        """The run's identity: sha256 of all settings, see `identity.digest`."""
        return digest(self.model_dump(mode="json"), type(self))

    def recipe_digest(self) -> str:
        """The sha256 of `shared_settings`."""
        return digest(self.shared_settings(), type(self))

    def shared_settings(self) -> Settings:
        """The settings that the runs of a study share, unless it varies them: all but kind, shortcut, depth and seed."""
        return self.model_dump(mode="json", exclude={"model": {"kind", "shortcut", "depth"}, "seed": True, "varied": True})


def with_compile(config: RunConfig, compile: bool) -> RunConfig:
    """A copy of the config with `compute.compile` set."""
    return config.model_copy(update={"compute": config.compute.model_copy(update={"compile": compile})})


def differences(left: RunConfig, right: RunConfig) -> list[tuple[str, Any, Any]]:
    """The keys in which two configs differ, with both values, such as `("recipe.steps", 64000, 400)`."""
    left_values, right_values = (dict(flatten(config.model_dump(mode="json"))) for config in (left, right))
    keys = sorted(left_values.keys() | right_values.keys())
    return [(key, left_values.get(key), right_values.get(key)) for key in keys if left_values.get(key) != right_values.get(key)]


def _epoch_steps(raw: Settings) -> int:
    """Steps per epoch, computed from unvalidated settings."""
    try:
        data = DataConfig.model_validate(raw.get("data", {}))
        batch_size: float = get(raw, ("recipe", "batch_size"), 128)
        return max(1, math.ceil(data.num_train / batch_size))
    except (ValidationError, TypeError, ValueError, ArithmeticError):
        return 1  # validation reports these settings


def _conflicts(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Pairs of key and problem, for settings that are valid on their own but not in combination."""
    data, recipe = config.data, config.recipe
    yield from compute_problems(config.compute, recipe.batch_size, data.num_train)
    if config.varied and (problem := varied_problem(config.varied, config.model_dump(mode="json"))) is not None:
        yield "varied", problem
    if config.evaluation.final_test_views != 1 and not data.facts.is_folder:
        yield (
            "evaluation.final_test_views",
            "ten crops require images larger than the network's input: a folder of images",
        )
    if data.num_train < 1:
        yield "data.validation_images", f"{data.validation_images} of {data.train_images} images leaves none to train on"
    elif recipe.batch_size > data.num_train:
        yield "recipe.batch_size", f"a batch of {recipe.batch_size} is larger than the {data.num_train} training images"
    outside = [step for step in config.log.keep if not 1 <= step <= recipe.steps]
    if outside:
        yield "log.keep", f"steps must be between 1 and {recipe.steps} (recipe.steps), got {outside[0]}"
    if isinstance(recipe.schedule, Plateau) and data.validation_images == 0:
        yield (
            "recipe.schedule.name",
            "a plateau schedule needs validation images: set data.validation_images, or recipe.schedule.name = 'milestones'",
        )
    if isinstance(recipe.schedule, Milestones):
        milestones = recipe.schedule.milestones
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            yield "recipe.schedule.milestones", f"milestones must increase, got {list(milestones)}"
        if milestones and (milestones[0] < 1 or milestones[-1] >= recipe.steps):
            yield (
                "recipe.schedule.milestones",
                f"milestones {list(milestones)} must be below the run's {recipe.steps} steps; "
                'percentages such as "50 %" scale with recipe.steps',
            )
