"""The settings of a network."""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from resnet_lab.config.blocks import BLOCK_HELP, DEFAULT_BLOCK, DEFAULT_SPAN, BlockFacts, BlockType, Span, StrideOn, facts_of
from resnet_lab.config.depths import DEPTH_HELP, depth_problem, stage_blocks
from resnet_lab.config.durations import Integer
from resnet_lab.config.identity import Later
from resnet_lab.config.section import Section, conflicts
from resnet_lab.config.terms import BranchScale, Init, Kind, Layout, Norm, Order, Padding, Shortcut

# Settings that change the paper's network; see docs/interventions.md.
INTERVENTIONS = ("shortcut_scale", "branch_scale", "order", "span", "init", "norm", "activation_slope")
_OF_SHORTCUTS = ("shortcut", "shortcut_scale", "branch_scale")  # do not apply to plain networks
_ORDERS_OF_SHORTCUTS = ("bn-after-addition", "relu-before-addition")


class ModelConfig(Section):
    """The network (He et al. 2015), in the CIFAR layout of Sec. 4.2 or the ImageNet layout of Table 1."""

    kind: Kind = Field(description="plain: without shortcuts, residual: with (options --plain, --residual)")
    layout: Later[Layout] = Field(
        "cifar", description="cifar: three stages of n blocks (Sec. 4.2); imagenet: four stages (Table 1)"
    )
    block: Later[BlockType] = Field(DEFAULT_BLOCK, description=BLOCK_HELP)
    span: Later[Span] = Field(
        DEFAULT_SPAN, description="layers of a basic block, which a shortcut spans: 1, 2 or 3; the depth is 3n, 6n or 9n + 2"
    )
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
    shortcut_scale: Later[float] = Field(
        1.0, ge=0, le=1, description="factor of the shortcuts, from 0 (the plain network) to 1 (the paper's residual one)"
    )
    branch_scale: Later[BranchScale] = Field(
        1,
        description="factor of the branches: 1, 1/sqrt(blocks), or learnable: a scalar per block from 0 (SkipInit, ReZero)",
    )
    order: Later[Order] = Field(
        "original",
        description="of BN, ReLU and addition (He et al. 2016): the paper's, BN and ReLU before each layer, or as the names say",
    )
    init: Later[Init] = Field(
        "he", description="initial weights: he (as in the paper), dirac (the identity where shapes allow), or delta-orthogonal"
    )
    norm: Later[Norm] = Field(
        "batch", description="batch normalisation, or none: scalar biases and, where there are shortcuts, Fixup's initial weights"
    )
    activation_slope: Later[float] = Field(
        0.0, ge=0, le=1, description="slope of the activation for negative values: 0 ReLU, between leaky ReLU, 1 the identity"
    )

    @model_validator(mode="before")
    @classmethod
    def _width_of_layout(cls, raw: Any) -> Any:
        return {"width": 64, **raw} if isinstance(raw, dict) and raw.get("layout") == "imagenet" else raw

    @field_validator("depth")
    @classmethod
    def _valid_depth(cls, depth: int, info: ValidationInfo) -> int:
        layout, block, span = (info.data.get(name) for name in ("layout", "block", "span"))
        if layout is None or block is None or span is None:
            return depth  # reported already
        problem = depth_problem(layout, block, depth, span)
        if problem:
            raise PydanticCustomError("depth", "{problem}", {"problem": problem})
        return depth

    @model_validator(mode="after")
    def _has_no_conflicts(self) -> Self:
        problems = list(_problems(self))
        if problems:
            raise conflicts(*problems)
        return self

    @property
    def block_facts(self) -> BlockFacts:
        """Properties of the block type."""
        return facts_of(self.block, self.span)

    @property
    def stages(self) -> tuple[int, ...]:
        """Blocks per stage: n in each of three stages, or the four numbers of Table 1."""
        return stage_blocks(self.layout, self.block, self.depth, self.span)

    @property
    def num_classes(self) -> int:
        """Default number of classes of the layout: 10 (CIFAR-10) or 1000 (ImageNet)."""
        return 10 if self.layout == "cifar" else 1000

    @property
    def image_size(self) -> int:
        """Default input height and width of the layout, in pixels."""
        return 32 if self.layout == "cifar" else 224

    @property
    def has_shortcuts(self) -> bool:
        """Whether the network differs from a plain one: a residual network does, unless its shortcuts are multiplied by 0."""
        return self.kind == "residual" and self.shortcut_scale > 0

    @property
    def adds_parameters(self) -> bool:
        """Whether its shortcuts or scales have parameters, which its plain counterpart lacks."""
        return self.has_shortcuts and (self.shortcut != "A" or self.branch_scale == "learnable")

    @property
    def uses_fixup(self) -> bool:
        """Whether the initial weights are Fixup's; a scale of the branches is another way to do without batch normalisation."""
        return self.norm == "none" and self.has_shortcuts and self.branch_scale == 1

    @property
    def interventions(self) -> dict[str, Any]:
        """The settings of INTERVENTIONS that differ from the paper's, with their values."""
        return {name: value for name in INTERVENTIONS if (value := getattr(self, name)) != type(self).model_fields[name].default}

    @property
    def counterpart(self) -> "ModelConfig":
        """The plain network with the same layers."""
        plain = {name: type(self).model_fields[name].default for name in _OF_SHORTCUTS}
        order = "original" if self.order in _ORDERS_OF_SHORTCUTS else self.order
        return self.model_copy(update={"kind": "plain", "order": order, **plain})

    @property
    def variant(self) -> str:
        """The kind, with the shortcut unless it is option A: `plain`, `residual`, `residual-B`, `residual-C`."""
        return self.kind if self.shortcut == "A" else f"{self.kind}-{self.shortcut}"

    @property
    def family(self) -> str:
        """The name shared by networks that differ only in depth: `plain`, `residual-B`, `residual-bottleneck`."""
        defaults = (self.block, DEFAULT_BLOCK), (self.layout, "cifar")
        return "-".join([self.variant, *(value for value, default in defaults if value != default)])


def _problems(model: ModelConfig) -> Iterator[tuple[str, str]]:
    """Pairs of key and problem, for settings that do not apply to this network."""
    defaults = {name: field.default for name, field in type(model).model_fields.items()}
    for name in _OF_SHORTCUTS:
        value = getattr(model, name)
        if model.kind == "plain" and value != defaults[name]:
            text = f"option {value} " if name == "shortcut" else ""
            yield f"model.{name}", f"{text}does not apply to a plain network, which has no shortcuts: omit it"
    if model.kind == "plain" and model.order in _ORDERS_OF_SHORTCUTS:
        yield "model.order", f"{model.order} does not apply to a plain network, which has no additions: omit it"
    if model.span != DEFAULT_SPAN and not model.block_facts.chooses_span:
        yield "model.span", f"does not apply to {model.block} blocks, which have {model.block_facts.num_layers} layers: omit it"
    if model.span != DEFAULT_SPAN and model.layout != "cifar":
        yield "model.span", f"does not apply to the {model.layout} layout, whose blocks are those of Table 1: omit it"
    yield from _problems_without_norm(model) if model.norm == "none" else ()
    if model.kind == "residual" and model.branch_scale != 1 and not model.has_shortcuts:
        yield "model.branch_scale", "does not apply to a network without shortcuts: set model.shortcut_scale above 0"
    if model.stride_on != "1x1" and not model.block_facts.chooses_stride:
        yield "model.stride_on", f"does not apply to {model.block} blocks, which have no 1x1 layers: omit it"


def _problems_without_norm(model: ModelConfig) -> Iterator[tuple[str, str]]:
    """Like `_problems`, for settings that need batch normalisation."""
    if model.order != "original":
        yield "model.order", "does not apply to a network without batch normalisation: omit it, or model.norm"
    if model.shortcut != "A":
        yield "model.shortcut", "projections need batch normalisation: choose option A, or omit model.norm"
    if model.init != "he" and model.uses_fixup:
        yield "model.init", "does not apply with Fixup's initial weights (model.norm = none): omit it, or set model.branch_scale"
