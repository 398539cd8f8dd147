"""What a run is told: frozen settings, checked in one place."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from resnet_lab.config.blocks import BLOCK_HELP, BLOCKS, DEFAULT_BLOCK, BlockFacts, BlockType, StrideOn
from resnet_lab.config.datasets import DATASETS, Dataset, DatasetFacts, Sizes, size_problems
from resnet_lab.config.depths import depth_problem, stage_blocks
from resnet_lab.config.durations import Duration, in_steps
from resnet_lab.config.identity import Later, digest
from resnet_lab.config.settings import Settings, flatten, get
from resnet_lab.config.terms import Kind, Layout, Padding, Shortcut


class Section(BaseModel):
    """Frozen, strictly typed settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _refused(key: str, text: str) -> PydanticCustomError:
    """A problem whose sentence does not end with the value, which it names where that helps."""
    return PydanticCustomError("conflicts", "{message}", {"message": f"{key}: {text}", "problems": [(key, text)]})


class ModelConfig(Section):
    """Which network (He et al. 2015): its layout is that of Sec. 4.2 for CIFAR-10, or of Table 1 for ImageNet."""

    kind: Kind
    layout: Later[Layout] = Field(
        "cifar", description="cifar: Sec. 4.2, three stages of n blocks; imagenet: Table 1, four stages"
    )
    block: Later[BlockType] = Field(DEFAULT_BLOCK, description=BLOCK_HELP)
    depth: int = Field(
        le=10_000, description="weighted layers: 6n+2, bottlenecks 9n+2; imagenet layout: 18, 34, bottlenecks 50, 101, 152"
    )
    width: int = Field(16, ge=1, le=4096, description="filters of the stem and the first stage's 3x3 layers; imagenet layout: 64")
    shortcut: Later[Shortcut] = Field(
        "A", description="of a residual block (Sec. 4.1): A the identity, B a projection where shapes change, C everywhere"
    )
    stride_on: Later[StrideOn] = Field(
        "1x1", description="a bottleneck's layer that halves the map: the first 1x1 (the paper's) or the 3x3 (torchvision's)"
    )
    pad_channels: Later[Padding] = Field(
        "end", description="option A's zero channels: after the input's, or both: half before and half after (usual elsewhere)"
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
            return depth  # these are refused anyway
        problem = depth_problem(layout, block, depth)
        if problem:
            raise PydanticCustomError("depth", "{problem}", {"problem": problem})
        return depth

    @field_validator("shortcut")
    @classmethod
    def _has_shortcuts(cls, shortcut: Shortcut, info: ValidationInfo) -> Shortcut:
        if info.data.get("kind") == "plain" and shortcut != "A":
            raise _refused("model.shortcut", f"a plain network has no shortcuts to be option {shortcut}: leave it out")
        return shortcut

    @field_validator("stride_on")
    @classmethod
    def _has_1x1_layers(cls, stride_on: StrideOn, info: ValidationInfo) -> StrideOn:
        block = info.data.get("block")
        if block is not None and not BLOCKS[block].chooses_stride and stride_on != "1x1":
            raise _refused("model.stride_on", f"a {block} block has no 1x1 layer to choose between: leave it out")
        return stride_on

    @property
    def block_facts(self) -> BlockFacts:
        """What is to be known of the blocks' type."""
        return BLOCKS[self.block]

    @property
    def stages(self) -> tuple[int, ...]:
        """Blocks of each stage: three times n, or Table 1's four numbers."""
        return stage_blocks(self.layout, self.block, self.depth)

    @property
    def num_classes(self) -> int:
        """Classes of the layout's data set: CIFAR-10's or ImageNet's."""
        return 10 if self.layout == "cifar" else 1000

    @property
    def image_size(self) -> int:
        """Height and width of the images that the layout is for, in pixels."""
        return 32 if self.layout == "cifar" else 224

    @property
    def counterpart(self) -> "ModelConfig":
        """The plain network with the same layers."""
        return self.model_copy(update={"kind": "plain", "shortcut": "A"})

    @property
    def variant(self) -> str:
        """The kind, with the shortcut where that is not option A: `plain`, `residual`, `residual-B`, `residual-C`."""
        return self.kind if self.shortcut == "A" else f"{self.kind}-{self.shortcut}"

    @property
    def family(self) -> str:
        """What networks that differ in depth alone have in common: `plain`, `residual-B`, `residual-bottleneck`."""
        named = (self.block, DEFAULT_BLOCK), (self.layout, "cifar")
        return "-".join([self.variant, *(value for value, usual in named if value != usual)])


class DataConfig(Section):
    """Which images. `auto` is CIFAR-10 where it can be had, else the synthetic stand-in, with a notice.

    A `folder` has a folder of images for each class in its `train` and in its `val` (torchvision's ImageFolder layout); those in
    `val` are the test images here.
    """

    dataset: Dataset = "cifar10"
    num_classes: Later[int] = Field(10, ge=2, le=2**20, description="10, of cifar100 100; of a folder as many as it has")
    image_size: Later[int] = Field(
        32, ge=32, le=4096, description="side of what the network sees, in pixels: 32, of a folder 224 if not stated"
    )
    train_images: int = Field(50_000, ge=1, le=2**31, description="before the split; fewer than there are: a seeded subset")
    validation_images: int = Field(5_000, ge=0, description="held out of the training images, drawn from the seed")
    test_images: int = Field(10_000, ge=1, le=2**31, description="fewer than there are: a seeded subset")

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_data_set(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        dataset = raw.get("dataset", "cifar10")
        facts = DATASETS.get(dataset) if isinstance(dataset, str) else None
        if facts is None:
            return raw  # it is refused anyway
        if facts.sizes is not None:
            return {"num_classes": facts.sizes.num_classes, "image_size": facts.sizes.image_size, **raw}
        if "num_classes" not in raw:
            raise _refused("data.num_classes", "state how many classes the folder has, such as --set data.num_classes=1000")
        return {"image_size": 224, **raw}

    @model_validator(mode="after")
    def _has_no_more(self) -> Self:
        stated = Sizes(self.num_classes, self.image_size, self.train_images, self.test_images)
        problems = [(f"data.{key}", text) for key, text in size_problems(self.dataset, stated)]
        if problems:
            raise PydanticCustomError("conflicts", "{message}", {"message": str(problems), "problems": problems})
        return self

    @property
    def facts(self) -> DatasetFacts:
        """What is to be known of the data set."""
        return DATASETS[self.dataset]

    @property
    def num_train(self) -> int:
        """Images that are trained on."""
        return self.train_images - self.validation_images

    @property
    def guess_error(self) -> float:
        """The error of a guess, a fraction."""
        return 1 - 1 / self.num_classes


class Plateau(Section):
    """Divide the lr when the validation error has not improved for `patience` checks (He et al. 2015, Sec. 3.4)."""

    name: Literal["plateau"] = "plateau"
    every: Duration = Field(gt=0, description="steps between checks of the validation error; an epoch if not given")
    patience: int = Field(15, ge=1, description="checks without a new best before the lr is divided")
    max_drops: int = Field(2, ge=0)


class Milestones(Section):
    """Divide the lr at fixed steps (He et al. 2015, Sec. 4.2); none given: a constant lr."""

    name: Literal["milestones"]
    milestones: tuple[Duration, ...] = Field((), strict=False)


class Warmup(Section):
    """The low-lr start of very deep nets: `lr` until the measured training error falls below `until_error` (Sec. 4.2)."""

    from_depth: int = Field(110, description="the shallowest net that starts this way")
    lr: float = Field(0.01, gt=0)
    until_error: float = Field(0.8, gt=0, lt=1, description="running training error, a fraction")
    window: Duration = Field(100, gt=0, description="steps over which the training error is measured")


class RecipeConfig(Section):
    """How a network is trained (He et al. 2015, Sec. 3.4 and 4.2)."""

    steps: Duration = Field(64_000, ge=0)
    batch_size: int = Field(128, ge=1)
    lr: float = Field(0.1, gt=0)
    lr_factor: float = Field(0.1, gt=0, lt=1, description="what the lr is multiplied with at a drop")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, description="on all parameters")
    schedule: Annotated[Plateau | Milestones, Field(discriminator="name")]
    warmup: Warmup = Warmup()


class EvaluationConfig(Section):
    """When and on how many training images the network is evaluated; validation and test images are all used."""

    every: Duration = Field(1_000, gt=0)
    train_images: int = Field(5_000, ge=1, description="seeded subset for the clean training error during training")
    final_train_images: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    final_test_views: Later[Literal[1, 10]] = Field(
        1, description="of each test image at the last evaluation: the centre, or four corners and the centre with their flips"
    )


class LogConfig(Section):
    """How often the running training error is recorded, and which checkpoints are kept."""

    every: Duration = Field(50, gt=0)
    keep: tuple[Duration, ...] = Field((), strict=False, description="steps whose checkpoints are kept for good, for `analyze`")


class ComputeConfig(Section):
    """Arithmetic of a run, the same for all runs of a study, since each of these changes results in the last bits."""

    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool | Literal["auto"] = Field("auto", description="compile the blocks; auto: where a trial shows that it pays")
    cuda_graphs: bool = Field(False, description="replay compiled blocks as CUDA graphs")
    recompute_blocks: Later[bool] = Field(
        False,
        description="keep the blocks' inputs alone for the backward pass and compute the rest again: less memory, more time",
    )
    deterministic: bool = Field(False, description="on CUDA: only algorithms whose results repeat bit for bit; slower")


class RunConfig(Section):
    """Everything that decides a run's numbers, resolved: durations are steps."""

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
    def _fits_together(self) -> Self:
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
        """Steps of one pass over the training images; the last batch may be short."""
        return math.ceil(self.data.num_train / self.recipe.batch_size)

    def digest(self) -> str:
        """The run's identity: sha256 of all settings, defaults included but for those of later settings."""
        return digest(self.model_dump(mode="json"), type(self))

    def recipe_digest(self) -> str:
        """The identity of what runs of a study have in common."""
        return digest(self.shared_settings(), type(self))

    def shared_settings(self) -> Settings:
        """What runs of a study have in common: all settings but kind, shortcut, depth and seed."""
        return self.model_dump(mode="json", exclude={"model": {"kind", "shortcut", "depth"}, "seed": True})


def with_compile(config: RunConfig, compile: bool) -> RunConfig:
    """The config with `compute.compile = "auto"` decided."""
    return config.model_copy(update={"compute": config.compute.model_copy(update={"compile": compile})})


def differences(left: RunConfig, right: RunConfig) -> list[tuple[str, Any, Any]]:
    """The keys in which two configs differ, with both values, such as `("recipe.steps", 64000, 400)`."""
    ours, theirs = (dict(flatten(config.model_dump(mode="json"))) for config in (left, right))
    keys = sorted(ours.keys() | theirs.keys())
    return [(key, ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)]


def _epoch_steps(raw: Settings) -> int:
    """Steps of an epoch by settings that have not been checked."""
    try:
        data = DataConfig.model_validate(raw.get("data", {}))
        batch_size: float = get(raw, ("recipe", "batch_size"), 128)
        return max(1, math.ceil(data.num_train / batch_size))
    except (ValidationError, TypeError, ValueError, ZeroDivisionError):
        return 1  # the settings are refused anyway, with these keys named


def _conflicts(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Settings that are valid one by one and not together."""
    data, recipe = config.data, config.recipe
    if config.compute.cuda_graphs and config.compute.compile is not True:
        yield "compute.cuda_graphs", "CUDA graphs are made of compiled blocks: set compute.compile = true as well"
    if config.compute.recompute_blocks and config.compute.compile is not False:
        yield "compute.recompute_blocks", "compiled blocks cannot be recomputed: set compute.compile = false as well"
    if config.evaluation.final_test_views != 1 and not data.facts.is_folder:
        yield (
            "evaluation.final_test_views",
            "ten crops are taken of the images of a folder, which are larger than the network's input",
        )
    if data.num_train < 1:
        yield "data.validation_images", f"{data.validation_images} of {data.train_images} images leave none to train on"
    elif recipe.batch_size > data.num_train:
        yield "recipe.batch_size", f"a batch of {recipe.batch_size} is larger than the {data.num_train} training images"
    beyond = [step for step in config.log.keep if not 1 <= step <= recipe.steps]
    if beyond:
        yield "log.keep", f"checkpoints are kept of steps 1 to {recipe.steps} (recipe.steps), not of {beyond[0]}"
    if isinstance(recipe.schedule, Plateau) and data.validation_images == 0:
        yield (
            "recipe.schedule.name",
            "a plateau schedule needs validation images: set data.validation_images, or schedule.name = 'milestones'",
        )
    if isinstance(recipe.schedule, Milestones):
        milestones = recipe.schedule.milestones
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            yield "recipe.schedule.milestones", f"milestones must increase, got {list(milestones)}"
        if milestones and (milestones[0] < 1 or milestones[-1] >= recipe.steps):
            yield (
                "recipe.schedule.milestones",
                f"milestones {list(milestones)} must lie inside the {recipe.steps} steps of the run; "
                'given as "50 %" they follow recipe.steps',
            )
