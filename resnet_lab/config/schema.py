"""The settings of a run: frozen, typed, and validated together."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from resnet_lab.config.blocks import BLOCK_HELP, BLOCKS, DEFAULT_BLOCK, BlockFacts, BlockType, StrideOn
from resnet_lab.config.compute import ComputeConfig, compute_problems
from resnet_lab.config.datasets import DATASETS, Dataset, DatasetFacts, Sizes, size_problems
from resnet_lab.config.depths import DEPTH_HELP, depth_problem, stage_blocks
from resnet_lab.config.durations import Duration, Integer, in_steps
from resnet_lab.config.identity import Later, digest
from resnet_lab.config.section import Section
from resnet_lab.config.settings import Settings, flatten, get
from resnet_lab.config.terms import Kind, Layout, Padding, Shortcut


def _problem(key: str, text: str) -> PydanticCustomError:
    """A validation error reported as `text` alone, without the offending value appended."""
    return PydanticCustomError("conflicts", "{message}", {"message": f"{key}: {text}", "problems": [(key, text)]})


class ModelConfig(Section):
    """The network (He et al. 2015), in the CIFAR layout of Sec. 4.2 or the ImageNet layout of Table 1."""

    kind: Kind
    layout: Later[Layout] = Field(
        "cifar", description="cifar: three stages of n blocks (Sec. 4.2); imagenet: four stages (Table 1)"
    )
    block: Later[BlockType] = Field(DEFAULT_BLOCK, description=BLOCK_HELP)
    depth: Integer = Field(le=10_000, description=f"weighted layers: {DEPTH_HELP}")
    width: Integer = Field(16, ge=1, le=4096, description="filters of the stem and the first stage's 3x3 layers; imagenet: 64")
    shortcut: Later[Shortcut] = Field(
        "A", description="of residual blocks (Sec. 4.1): A identity, B projection where shapes change, C projection everywhere"
    )
    stride_on: Later[StrideOn] = Field(
        "1x1", description="the bottleneck layer with the stride: the first 1x1 (as in the paper) or the 3x3 (as in torchvision)"
    )
    pad_channels: Later[Padding] = Field(
        "end", description="position of option A's zero channels: end, or both: half before and half after (other repositories)"
    )

    @model_validator(mode="before")
    @classmethod
    def _width_of_layout(cls, raw: Any) -> Any:
        return {"width": 64, **raw} if isinstance(raw, dict) and raw.get("layout") == "imagenet" else raw

    @field_validator("depth")
    @classmethod
    def _valid_depth(cls, depth: int, info: ValidationInfo) -> int:
        layout, block = info.data.get("layout"), info.data.get("block")
        if layout is None or block is None:
            return depth  # reported already
        problem = depth_problem(layout, block, depth)
        if problem:
            raise PydanticCustomError("depth", "{problem}", {"problem": problem})
        return depth

    @field_validator("shortcut")
    @classmethod
    def _has_shortcuts(cls, shortcut: Shortcut, info: ValidationInfo) -> Shortcut:
        if info.data.get("kind") == "plain" and shortcut != "A":
            raise _problem(
                "model.shortcut", f"option {shortcut} does not apply to a plain network, which has no shortcuts: omit it"
            )
        return shortcut

    @field_validator("stride_on")
    @classmethod
    def _has_1x1_layers(cls, stride_on: StrideOn, info: ValidationInfo) -> StrideOn:
        block = info.data.get("block")
        if block is not None and not BLOCKS[block].chooses_stride and stride_on != "1x1":
            raise _problem("model.stride_on", f"does not apply to {block} blocks, which have no 1x1 layers: omit it")
        return stride_on

    @property
    def block_facts(self) -> BlockFacts:
        """Properties of the block type."""
        return BLOCKS[self.block]

    @property
    def stages(self) -> tuple[int, ...]:
        """Blocks per stage: n in each of three stages, or the four numbers of Table 1."""
        return stage_blocks(self.layout, self.block, self.depth)

    @property
    def num_classes(self) -> int:
        """Default number of classes of the layout: 10 (CIFAR-10) or 1000 (ImageNet)."""
        return 10 if self.layout == "cifar" else 1000

    @property
    def image_size(self) -> int:
        """Default input height and width of the layout, in pixels."""
        return 32 if self.layout == "cifar" else 224

    @property
    def counterpart(self) -> "ModelConfig":
        """The plain network with the same layers."""
        return self.model_copy(update={"kind": "plain", "shortcut": "A"})

    @property
    def variant(self) -> str:
        """The kind, with the shortcut unless it is option A: `plain`, `residual`, `residual-B`, `residual-C`."""
        return self.kind if self.shortcut == "A" else f"{self.kind}-{self.shortcut}"

    @property
    def family(self) -> str:
        """The name shared by networks that differ only in depth: `plain`, `residual-B`, `residual-bottleneck`."""
        defaults = (self.block, DEFAULT_BLOCK), (self.layout, "cifar")
        return "-".join([self.variant, *(value for value, default in defaults if value != default)])


class DataConfig(Section):
    """The images. `auto` is CIFAR-10 if it is available, else the synthetic stand-in, with a notice.

    A `folder` contains `train` and `val`, each with one folder of images per class (torchvision's ImageFolder layout). The images
    in `val` are used as test images.
    """

    dataset: Dataset = "cifar10"
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
            raise _problem("data.num_classes", "required for a folder of images, such as --set data.num_classes=1000")
        return {"image_size": 224, **raw}

    @model_validator(mode="after")
    def _sizes_match_data_set(self) -> Self:
        stated = Sizes(self.num_classes, self.image_size, self.train_images, self.test_images)
        problems = [(f"data.{key}", text) for key, text in size_problems(self.dataset, stated)]
        if problems:
            raise PydanticCustomError("conflicts", "{message}", {"message": str(problems), "problems": problems})
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

    name: Literal["plateau"] = "plateau"
    every: Duration = Field(gt=0, description="steps between checks of the validation error; one epoch by default")
    patience: Integer = Field(15, ge=1, description="checks without a new best before the lr is divided")
    max_drops: Integer = Field(2, ge=0)


class Milestones(Section):
    """Divide the lr at fixed steps (He et al. 2015, Sec. 4.2); with no milestones the lr is constant."""

    name: Literal["milestones"]
    milestones: tuple[Duration, ...] = Field((), strict=False)


class Warmup(Section):
    """The warm-up of very deep networks: `lr` until the running training error falls below `until_error` (Sec. 4.2)."""

    from_depth: Integer = Field(110, description="the smallest depth that is warmed up")
    lr: float = Field(0.01, gt=0)
    until_error: float = Field(0.8, gt=0, lt=1, description="running training error, a fraction")
    window: Duration = Field(100, gt=0, description="steps over which the training error is measured")


class RecipeConfig(Section):
    """How a network is trained (He et al. 2015, Sec. 3.4 and 4.2)."""

    steps: Duration = Field(64_000, ge=0)
    batch_size: Integer = Field(128, ge=1)
    lr: float = Field(0.1, gt=0)
    lr_factor: float = Field(0.1, gt=0, lt=1, description="factor applied to the lr at each drop")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, description="on all parameters")
    schedule: Annotated[Plateau | Milestones, Field(discriminator="name")]
    warmup: Warmup = Warmup()


class EvaluationConfig(Section):
    """How often the network is evaluated, and on how many training images; all validation and test images are used."""

    every: Duration = Field(1_000, gt=0)
    train_images: Integer = Field(5_000, ge=1, description="seeded subset for the clean training error during training")
    final_train_images: Annotated[Integer, Field(ge=1)] | Literal["all"] = "all"
    final_test_views: Later[Literal[1, 10]] = Field(
        1, description="views per test image at the last evaluation: 1 (centre crop) or 10 (four corners, centre and their flips)"
    )


class LogConfig(Section):
    """How often the running training error is recorded, and which checkpoints are kept."""

    every: Duration = Field(50, gt=0)
    keep: tuple[Duration, ...] = Field((), strict=False, description="steps whose checkpoints are never deleted, for `analyze`")


class RunConfig(Section):
    """All settings that determine a run's results; durations are converted to steps."""

    model: ModelConfig
    seed: int = Field(0, ge=0, lt=2**32)
    data: DataConfig = DataConfig()
    recipe: RecipeConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    log: LogConfig = LogConfig()
    compute: ComputeConfig = ComputeConfig()

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
            message = "; ".join(f"{key}: {text}" for key, text in problems)
            raise PydanticCustomError("conflicts", "{message}", {"message": message, "problems": problems})
        return self

    @property
    def name(self) -> str:
        """The run's folder in its study, such as `plain-56-s0` or `residual-B-56-s0`."""
        return f"{self.model.family}-{self.model.depth}-s{self.seed}"

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
        """The settings that all runs of a study share: all but kind, shortcut, depth and seed."""
        return self.model_dump(mode="json", exclude={"model": {"kind", "shortcut", "depth"}, "seed": True})


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
