"""What a run is told: frozen settings, checked in one place.

Durations may be written in steps (`400`), epochs (`"3 epochs"`) or percent of the run (`"50 %"`); they become steps here, once.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Kind = Literal["plain", "residual"]
Shortcut = Literal["A", "B", "C"]
Block = Literal["basic", "bottleneck"]
Layout = Literal["cifar", "imagenet"]
Dataset = Literal["cifar10", "cifar100", "folder", "synthetic", "auto"]
Padding = Literal["end", "both"]
Settings = dict[str, Any]

KINDS: tuple[Kind, ...] = get_args(Kind)
PROJECTION_VARIANTS = ("residual-B", "residual-C")  # their parameters are more than those of the plain network
RESIDUAL_VARIANTS = ("residual", *PROJECTION_VARIANTS)
VARIANTS = ("plain", *RESIDUAL_VARIANTS)  # what ModelConfig.variant can be

Duration = Annotated[
    int,
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "examples": ["400 steps", "3 epochs", "50 %"]}]}),
]
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(steps?|epochs?|%|percent)\s*")
DURATION_KEYS = (
    ("recipe", "steps"),  # first: percentages of the others refer to it
    ("recipe", "schedule", "every"),
    ("recipe", "schedule", "milestones"),
    ("recipe", "warmup", "window"),
    ("evaluation", "every"),
    ("log", "every"),
    ("log", "keep"),
)


class Section(BaseModel):
    """Frozen, strictly typed settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# What every run did before there was a setting for it: a run's identity is the same as it was then.
_BEFORE_THERE_WAS: dict[tuple[str, str], Any] = {
    ("model", "layout"): "cifar",
    ("model", "block"): "basic",
    ("model", "shortcut"): "A",
    ("model", "stride_on"): "1x1",
    ("data", "num_classes"): 10,
    ("data", "image_size"): 32,
    ("evaluation", "final_test_views"): 1,
    ("model", "pad_channels"): "end",
    ("compute", "recompute_blocks"): False,
}
# Blocks by stage of the networks of He et al. 2015, Table 1.
IMAGENET_BLOCKS: dict[tuple[Block, int], tuple[int, ...]] = {
    ("basic", 18): (2, 2, 2, 2),
    ("basic", 34): (3, 4, 6, 3),
    ("bottleneck", 50): (3, 4, 6, 3),
    ("bottleneck", 101): (3, 4, 23, 3),
    ("bottleneck", 152): (3, 8, 36, 3),
}
# Classes of the data sets whose images are the same everywhere.
CLASSES: dict[str, int] = {"cifar10": 10, "cifar100": 100, "synthetic": 10, "auto": 10}
_CIFAR_STAGES, _BLOCK_LAYERS = 3, {"basic": 2, "bottleneck": 3}


def _refused(key: str, text: str) -> PydanticCustomError:
    """A problem whose sentence does not end with the value, which it names where that helps."""
    return PydanticCustomError("conflicts", "{message}", {"message": f"{key}: {text}", "problems": [(key, text)]})


def _cifar_depth_problem(block: Block, depth: int) -> str | None:
    """What is wrong with a depth in the CIFAR layout; None where it is `step` n + 2."""
    step = _CIFAR_STAGES * _BLOCK_LAYERS[block]
    if depth >= step + 2 and depth % step == 2:
        return None
    below = max(step + 2, (depth - 2) // step * step + 2)
    nearest = f"{below} and {below + step}" if depth > step + 2 else f"{below}"
    blocks = "blocks" if block == "basic" else "bottleneck blocks"
    return f"Depth {depth} is not {step}n+2 (n {blocks} a stage); the nearest valid: {nearest}"


def _imagenet_depth_problem(block: Block, depth: int) -> str | None:
    """What is wrong with a depth in the ImageNet layout; None where it is one of Table 1."""
    valid = [each for kind, each in IMAGENET_BLOCKS if kind == block]
    if depth in valid:
        return None
    below, above = [each for each in valid if each < depth][-1:], [each for each in valid if each > depth][:1]
    other = next((f", and {depth} with {kind} blocks" for kind, each in IMAGENET_BLOCKS if each == depth), "")
    nearest = " and ".join(map(str, below + above))
    return f"Depth {depth} is not one of Table 1 with {block} blocks; the nearest valid: {nearest}{other}"


class ModelConfig(Section):
    """Which network (He et al. 2015): its layout is that of Sec. 4.2 for CIFAR-10, or of Table 1 for ImageNet."""

    kind: Kind
    layout: Layout = Field("cifar", description="cifar: Sec. 4.2, three stages of n blocks; imagenet: Table 1, four stages")
    block: Block = Field("basic", description="basic: two 3x3 layers; bottleneck: 1x1, 3x3 and 1x1 (Fig. 5)")
    depth: int = Field(
        description="weighted layers: 6n+2, with bottlenecks 9n+2; in the imagenet layout 18, 34, with bottlenecks 50, 101, 152"
    )
    width: int = Field(16, ge=1, description="filters of the stem and of the first stage's 3x3 layers; 64 in the imagenet layout")
    shortcut: Shortcut = Field(
        "A", description="of a residual block (Sec. 4.1): A the identity, B a projection where shapes change, C everywhere"
    )
    stride_on: Literal["1x1", "3x3"] = Field(
        "1x1", description="a bottleneck's layer that halves the map: the first 1x1 (the paper's) or the 3x3 (torchvision's)"
    )
    pad_channels: Padding = Field(
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
        problem = _cifar_depth_problem(block, depth) if layout == "cifar" else _imagenet_depth_problem(block, depth)
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
    def _has_1x1_layers(cls, stride_on: str, info: ValidationInfo) -> str:
        if info.data.get("block") == "basic" and stride_on != "1x1":
            raise _refused("model.stride_on", "a basic block has no 1x1 layer to choose between: leave it out")
        return stride_on

    @property
    def stages(self) -> tuple[int, ...]:
        """Blocks of each stage: three times n, or Table 1's four numbers."""
        if self.layout == "imagenet":
            return IMAGENET_BLOCKS[self.block, self.depth]
        return ((self.depth - 2) // (_CIFAR_STAGES * _BLOCK_LAYERS[self.block]),) * _CIFAR_STAGES

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
        named = (self.block, "basic"), (self.layout, "cifar")
        return "-".join([self.variant, *(value for value, usual in named if value != usual)])


class DataConfig(Section):
    """Which images. `auto` is CIFAR-10 where it can be had, else the synthetic stand-in, with a notice.

    A `folder` has a folder of images for each class in its `train` and in its `val` (torchvision's ImageFolder layout); those in
    `val` are the test images here.
    """

    dataset: Dataset = "cifar10"
    num_classes: int = Field(10, ge=2, description="10, of cifar100 100; of a folder as many as it has, to be stated")
    image_size: int = Field(32, ge=32, description="side of what the network sees, in pixels: 32, of a folder 224 if not stated")
    train_images: int = Field(50_000, ge=1, description="images before the split; fewer than there are: a seeded subset")
    validation_images: int = Field(5_000, ge=0, description="held out of the training images, drawn from the seed")
    test_images: int = Field(10_000, ge=1, description="fewer than there are: a seeded subset")

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_data_set(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        dataset = raw.get("dataset", "cifar10")
        if dataset != "folder":
            return {"num_classes": CLASSES.get(dataset, 10) if isinstance(dataset, str) else 10, **raw}
        if "num_classes" not in raw:
            raise _refused("data.num_classes", "state how many classes the folder has, such as --set data.num_classes=1000")
        return {"image_size": 224, **raw}

    @model_validator(mode="after")
    def _has_no_more(self) -> Self:
        if self.dataset != "folder":
            fixed = {"num_classes": CLASSES[self.dataset], "image_size": 32}
            most = {"train_images": 50_000, "test_images": 10_000}
            problems = [
                *(
                    (key, f"{self.dataset} has {value}, got {getattr(self, key)}")
                    for key, value in fixed.items()
                    if getattr(self, key) != value
                ),
                *(
                    (key, f"{self.dataset} has {value:,}, got {getattr(self, key):,}")
                    for key, value in most.items()
                    if getattr(self, key) > value
                ),
            ]
            if problems:
                named = [(f"data.{key}", text) for key, text in problems]
                raise PydanticCustomError("conflicts", "{message}", {"message": str(named), "problems": named})
        return self

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
    final_test_views: Literal[1, 10] = Field(
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
    recompute_blocks: bool = Field(
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
        return _with_steps(raw) if isinstance(raw, dict) else raw

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
        """The run's identity: sha256 of all settings, defaults included."""
        return _sha256(_as_it_was(self.model_dump(mode="json")))

    def recipe_digest(self) -> str:
        """The identity of what runs of a study have in common."""
        return _sha256(_as_it_was(self.shared_settings()))

    def shared_settings(self) -> Settings:
        """What runs of a study have in common: all settings but kind, shortcut, depth and seed."""
        return self.model_dump(mode="json", exclude={"model": {"kind", "shortcut", "depth"}, "seed": True})


class SweepConfig(Section):
    """Which runs a study has: every kind at every depth with every seed, residual ones with every shortcut."""

    depths: tuple[int, ...] = Field((20, 32, 44, 56), strict=False, min_length=1)
    kinds: tuple[Kind, ...] = Field(("plain", "residual"), strict=False, min_length=1)
    shortcuts: tuple[Shortcut, ...] = Field(("A",), strict=False, min_length=1)
    seeds: tuple[int, ...] = Field((0,), strict=False, min_length=1)

    @field_validator("depths", "kinds", "shortcuts", "seeds")
    @classmethod
    def _no_run_twice(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(values)) < len(values):
            raise PydanticCustomError("twice", "each may stand here once")
        return values


def with_compile(config: RunConfig, compile: bool) -> RunConfig:
    """The config with `compute.compile = "auto"` decided."""
    return config.model_copy(update={"compute": config.compute.model_copy(update={"compile": compile})})


def differences(left: RunConfig, right: RunConfig) -> list[tuple[str, Any, Any]]:
    """The keys in which two configs differ, with both values, such as `("recipe.steps", 64000, 400)`."""
    ours, theirs = (dict(flatten(config.model_dump(mode="json"))) for config in (left, right))
    keys = sorted(ours.keys() | theirs.keys())
    return [(key, ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)]


def flatten(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as pairs of dotted key and value."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def to_steps(text: object, epoch_steps: float, total_steps: int | None) -> int | None:
    """A duration in steps: `400`, `"400 steps"`, `"3 epochs"`, `"50 %"` of `total_steps`; None if it is none of these."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    amount, unit = float(match[1]), match[2]
    if unit.startswith("step"):
        return round(amount) if amount.is_integer() else None
    if unit.startswith("epoch"):
        steps = amount * epoch_steps
    elif total_steps is not None:
        steps = amount / 100 * total_steps
    else:
        return None
    return max(1, round(steps)) if amount > 0 else 0


def _with_steps(raw: Settings) -> Settings:
    """The same settings with every duration in steps. What cannot be converted is left for validation to name."""
    raw = merge({"recipe": {"schedule": {"name": "plateau"}}}, raw)
    schedule = get(raw, ("recipe", "schedule"))
    if isinstance(schedule, dict) and schedule["name"] == "plateau":
        schedule.setdefault("every", "1 epoch")
    try:
        data = DataConfig.model_validate(raw.get("data", {}))
        epoch_steps = max(1, math.ceil(data.num_train / get(raw, ("recipe", "batch_size"), 128)))
    except (ValidationError, TypeError, ValueError, ZeroDivisionError):
        epoch_steps = 1  # the settings are refused anyway, with these keys named
    total = RecipeConfig.model_fields["steps"].default
    for path in DURATION_KEYS:
        parent = get(raw, path[:-1])
        if not isinstance(parent, dict) or path[-1] not in parent:
            continue
        value = parent[path[-1]]
        own_total = None if path == ("recipe", "steps") else total
        converted = [to_steps(each, epoch_steps, own_total) for each in (value if isinstance(value, list | tuple) else [value])]
        if None in converted:
            continue
        parent[path[-1]] = converted if isinstance(value, list | tuple) else converted[0]
        if path == ("recipe", "steps"):
            total = parent[path[-1]]
    return raw


def _conflicts(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Settings that are valid one by one and not together."""
    data, recipe = config.data, config.recipe
    if config.compute.cuda_graphs and config.compute.compile is not True:
        yield "compute.cuda_graphs", "CUDA graphs are made of compiled blocks: set compute.compile = true as well"
    if config.compute.recompute_blocks and config.compute.compile is not False:
        yield "compute.recompute_blocks", "compiled blocks cannot be recomputed: set compute.compile = false as well"
    if config.evaluation.final_test_views != 1 and data.dataset != "folder":
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


def merge(base: Settings, over: Settings) -> Settings:
    """A deep copy of `base` with `over` laid on it; another schedule replaces the whole schedule."""
    merged = {key: merge(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            replaces = key == "schedule" and "name" in old and value.get("name", old["name"]) != old["name"]
            merged[key] = merge({} if replaces else old, value)
        else:
            merged[key] = merge(value, {}) if isinstance(value, dict) else value
    return merged


def get(settings: Settings, path: Sequence[str], default: Any = None) -> Any:
    """The value at a path of keys, or the default where there is none."""
    for key in path:
        if not isinstance(settings, dict) or key not in settings:
            return default
        settings = settings[key]
    return settings


def _as_it_was(settings: Settings) -> Settings:
    """The settings without those that came later and say what was always so."""
    settings = merge(settings, {})
    for path, value in _BEFORE_THERE_WAS.items():
        section = get(settings, path[:-1], {})
        if section.get(path[-1]) == value:
            del section[path[-1]]
    return settings


def _sha256(settings: Settings) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
