"""What hypothesis draws: valid settings, values that fit nowhere, and damage to files."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from resnet_lab.config.blocks import BLOCKS, BlockFacts
from resnet_lab.config.datasets import DATASETS
from resnet_lab.config.settings import Settings

_STEPS = 1_000_000  # more than any run has
_positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
_fraction = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)


def _depths(layout: str, facts: BlockFacts) -> SearchStrategy[int]:
    if layout == "imagenet":
        return st.sampled_from(sorted(facts.table_1))
    return st.integers(1, 200).map(lambda n: 3 * facts.num_layers * n + 2)


@st.composite
def _models(draw: DrawFn) -> Settings:
    kind, layout = draw(st.sampled_from(["plain", "residual"])), draw(st.sampled_from(["cifar", "imagenet"]))
    block = draw(st.sampled_from(sorted(BLOCKS)))
    return {
        "kind": kind,
        "layout": layout,
        "block": block,
        "depth": draw(_depths(layout, BLOCKS[block])),
        "width": draw(st.integers(1, 512)),
        "shortcut": draw(st.sampled_from("ABC")) if kind == "residual" else "A",
        "stride_on": draw(st.sampled_from(["1x1", "3x3"])) if BLOCKS[block].chooses_stride else "1x1",
        "pad_channels": draw(st.sampled_from(["end", "both"])),
    }


@st.composite
def _data(draw: DrawFn) -> Settings:
    dataset = draw(st.sampled_from(sorted(DATASETS)))
    sizes = DATASETS[dataset].sizes
    train = draw(st.integers(2, sizes.train_images if sizes else 2_000_000))
    return {
        "dataset": dataset,
        "num_classes": sizes.num_classes if sizes else draw(st.integers(2, 30_000)),
        "image_size": sizes.image_size if sizes else draw(st.integers(32, 1024)),
        "train_images": train,
        "validation_images": draw(st.integers(0, train - 1)),
        "test_images": draw(st.integers(1, sizes.test_images if sizes else 2_000_000)),
    }


@st.composite
def _schedules(draw: DrawFn, steps: int, has_validation: bool) -> Settings:
    if has_validation and draw(st.booleans()):
        return {
            "name": "plateau",
            "every": draw(st.integers(1, _STEPS)),
            "patience": draw(st.integers(1, 1000)),
            "max_drops": draw(st.integers(0, 10)),
        }
    drops = st.lists(st.integers(1, steps - 1), max_size=5, unique=True).map(sorted) if steps > 1 else st.just([])
    return {"name": "milestones", "milestones": draw(drops)}


@st.composite
def run_settings(draw: DrawFn) -> Settings:
    """Valid settings of a run, every key of RunConfig stated, durations in steps."""
    data, steps = draw(_data()), draw(st.integers(0, _STEPS))
    num_train = data["train_images"] - data["validation_images"]
    compile = draw(st.sampled_from([True, False, "auto"]))
    is_folder = DATASETS[data["dataset"]].is_folder
    return {
        "model": draw(_models()),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "data": data,
        "recipe": {
            "steps": steps,
            "batch_size": draw(st.integers(1, num_train)),
            "lr": draw(_positive),
            "lr_factor": draw(_fraction),
            "momentum": draw(st.floats(0, 1, exclude_max=True)),
            "weight_decay": draw(st.floats(min_value=0, allow_infinity=False)),
            "schedule": draw(_schedules(steps, data["validation_images"] > 0)),
            "warmup": {
                "from_depth": draw(st.integers(-1, 2000)),
                "lr": draw(_positive),
                "until_error": draw(_fraction),
                "window": draw(st.integers(1, _STEPS)),
            },
        },
        "evaluation": {
            "every": draw(st.integers(1, _STEPS)),
            "train_images": draw(st.integers(1, 2_000_000)),
            "final_train_images": draw(st.just("all") | st.integers(1, 2_000_000)),
            "final_test_views": draw(st.sampled_from([1, 10])) if is_folder else 1,
        },
        "log": {
            "every": draw(st.integers(1, _STEPS)),
            "keep": draw(st.lists(st.integers(1, steps), max_size=4)) if steps else [],
        },
        "compute": {
            "precision": draw(st.sampled_from(["fp32", "bf16"])),
            "compile": compile,
            "cuda_graphs": draw(st.booleans()) if compile is True else False,
            "recompute_blocks": draw(st.booleans()) if compile is False else False,
            "deterministic": draw(st.booleans()),
        },
    }


# Values of every type that JSON and TOML share, of which most fit into no setting.
junk: SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 2**31, 2**32, 2**63, 2**64, 10**400, -(10**400)])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "auto", "all", "plateau", "milestones", "50 %", "3 epochs", f"{10**400} epochs", f"{10**400} %"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
