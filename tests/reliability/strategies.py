"""Hypothesis strategies: valid settings, invalid values, arguments and damaged files."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from resnet_lab.config.blocks import BLOCKS, BlockFacts, facts_of
from resnet_lab.config.datasets import DATASETS
from resnet_lab.config.files import known_keys
from resnet_lab.config.schema import RunConfig
from resnet_lab.config.settings import Settings

SETTINGS = known_keys(RunConfig)  # all keys of a run's config
_STEPS = 1_000_000  # the longest drawn run
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
    span = draw(st.sampled_from([1, 2, 3])) if layout == "cifar" and BLOCKS[block].chooses_span else 2
    norm = draw(st.sampled_from(["batch", "none"]))
    facts, is_residual, has_norm = facts_of(block, span), kind == "residual", norm == "batch"
    shortcut_scale = draw(st.floats(0, 1)) if is_residual else 1.0
    scales = [1, "1/sqrt(blocks)", "learnable"] if is_residual and shortcut_scale > 0 else [1]
    branch_scale = draw(st.sampled_from(scales))
    orders = ["original", "preactivation", *(["bn-after-addition", "relu-before-addition"] if is_residual else [])]
    uses_fixup = not has_norm and is_residual and shortcut_scale > 0 and branch_scale == 1
    return {
        "kind": kind,
        "layout": layout,
        "block": block,
        "span": span,
        "depth": draw(_depths(layout, facts)),
        "width": draw(st.integers(1, 512)),
        "shortcut": draw(st.sampled_from("ABC")) if is_residual and has_norm else "A",
        "stride_on": draw(st.sampled_from(["1x1", "3x3"])) if facts.chooses_stride else "1x1",
        "pad_channels": draw(st.sampled_from(["end", "both"])),
        "shortcut_scale": shortcut_scale,
        "branch_scale": branch_scale,
        "order": draw(st.sampled_from(orders)) if has_norm else "original",
        "init": "he" if uses_fixup else draw(st.sampled_from(["he", "dirac", "orthogonal"])),
        "norm": norm,
        "activation_slope": draw(st.floats(0, 1)),
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
    """Valid settings of a run with every key of RunConfig, durations in steps."""
    data, steps = draw(_data()), draw(st.integers(0, _STEPS))
    num_train = data["train_images"] - data["validation_images"]
    batch_size = draw(st.integers(1, num_train))
    equal_parts = math.gcd(batch_size, num_train % batch_size)
    replicas = draw(st.sampled_from([number for number in range(1, min(equal_parts, 1024) + 1) if equal_parts % number == 0]))
    compile = draw(st.sampled_from([True, False, "auto"]))
    is_folder = DATASETS[data["dataset"]].is_folder
    return {
        "model": draw(_models()),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "data": data,
        "recipe": {
            "steps": steps,
            "batch_size": batch_size,
            "optimizer": draw(st.sampled_from(["sgd", "adamw", "muon"])),
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
            "replicas": replicas,
            "bn": draw(st.sampled_from(["replica", "sync"])) if replicas > 1 else "replica",
        },
        "varied": draw(st.lists(st.sampled_from(["recipe.lr", "model.width", "recipe.warmup.lr"]), max_size=2)),
    }


# Values of every type that JSON and TOML share; most are invalid for any setting.
junk: SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 2**31, 2**32, 2**63, 2**64, 10**400, -(10**400)])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "",
            "auto",
            "all",
            "plateau",
            "milestones",
            "50 %",
            "3 epochs",
            f"{10**400} epochs",
            f"{10**400} %",
            "0001-01-01T00:00:00",
            "9999-12-31T23:59:59-12:00",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)

_words = st.text(
    st.characters(exclude_categories=(), exclude_characters="\0/"), max_size=12
)  # arguments cannot contain NUL; no / so that paths stay inside
_numbers = st.sampled_from(
    ["1", "2", "8"] * 5 + ["-1", "0", "14", "20", "21", "4.5", "1e9", "nan", "inf", str(2**63), str(10**400), "9" * 5000]
)
_VALUES = {  # likely values by option, for the folder made by the fixture `place`
    "--config": ["smoke", "demo", "imagenet", "tiny.toml", "bad.toml", "nope.toml", "nope", "runs/s"],
    "--study": ["s", "t", "runs/s", "..", ".", "a/b", "runs", "x" * 300],
    "--run": ["runs/s/plain-8-s0", "s/residual-14-s0", "s", "runs/none", "s/none", "file.txt"],
    "--runs": ["runs", "none", "file.txt", "runs/s"],
    "--out": ["out", "file.txt", "a/b"],
    "--draw": ["a.svg", "a.png", "a.bmp", "none/a.svg", "file.txt/a.svg"],
    "--weights": ["w.safetensors", "file.txt", "none.pth", "runs"],
    "--data-dir": ["data", "file.txt", "images"],
    "--device": ["auto", "cpu", "cuda", "cuda:7", "mps"],
    "--launcher": ["local", "slurm", "ray", "k8s"],
    "--address": ["auto", "local", "head", "127.0.0.1:1"],
    "--to": ["csv", "tensorboard", "torchvision", "safetensors"],
    "--dataset": ["cifar10", "cifar100", "folder"],
    "--layout": ["cifar", "imagenet"],
    "--block": ["basic", "bottleneck"],
    "--shortcut": ["A", "B", "C"],
    "--padding": ["end", "both"],
    "--stride-on": ["1x1", "3x3"],
    "--normalisation": ["per-pixel", "imagenet", "channel"],
    "--x": ["step", "epoch", "hours"],
}
_ARGUMENTS = {
    "config": "--config",
    "study": "--study",
    "run": "--run",
    "name": "--run",
    "names": "--run",
    "first": "--run",
    "second": "--run",
}


def _toml_text(value: Any) -> str:
    try:
        return json.dumps(value)
    except ValueError:  # a number with more digits than Python prints
        return "1" + "0" * 400


@st.composite
def _overrides(draw: DrawFn) -> str:
    if draw(st.booleans()):
        return draw(
            st.sampled_from(
                ["recipe.steps=3", "recipe.lr=0.5", "seed=1", "model.width=4", "data.dataset=synthetic", "log.keep=[1]"]
            )
        )
    key = draw(st.sampled_from(["sweep.depths", "sweep.seeds", "sweep.kinds", "model", "recipe", *SETTINGS]) | _words)
    return f"{key}={draw(junk.map(_toml_text) | _numbers | _words)}"


@st.composite
def _tokens(draw: DrawFn, parameter: Any) -> list[str]:
    """An option with a value, or an argument."""
    name = draw(st.sampled_from([*parameter.opts, *parameter.secondary_opts]))
    if getattr(parameter, "is_flag", False):
        return [name]
    known = _VALUES.get(_ARGUMENTS.get(name, name))
    likely = _overrides() if name == "--set" else st.sampled_from(known) if known else _numbers
    value = draw(st.one_of(*[likely] * 9, _numbers | _words))
    return [value] if name in _ARGUMENTS else [name, value]


def arguments(commands: Mapping[tuple[str, ...], Sequence[Any]]) -> SearchStrategy[list[str]]:
    """Lists of arguments for these commands with these parameters, including some that no command accepts."""

    def of_command(name: tuple[str, ...]) -> SearchStrategy[list[str]]:
        parameters = commands[name]
        known = st.sampled_from(parameters).flatmap(_tokens) if parameters else st.nothing()
        parts = st.lists(st.one_of(*[known] * 14, st.lists(_words, max_size=1)), max_size=4)
        return parts.map(lambda tokens: [*name, *(token for each in tokens for token in each)])

    return st.sampled_from(sorted(commands)).flatmap(of_command) | st.lists(_words, max_size=5)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, each in inner for place in [(*path, key), *_places(each, (*path, key))]]


@st.composite
def _other_json(draw: DrawFn, line: bytes) -> bytes:
    """A JSON value with one value in it replaced or removed, or one key renamed."""
    value = json.loads(line)
    *parents, key = draw(st.sampled_from(_places(value)))
    section = value
    for each in parents:
        section = section[each]
    what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename"]))
    old = section.pop(key)
    if isinstance(section, list) and what != "remove":
        section.insert(key, draw(junk))
    elif what != "remove":
        section[draw(st.text(max_size=8)) if what == "rename" else key] = old if what == "rename" else draw(junk)
    return _toml_text(value).encode()


@st.composite
def damaged(draw: DrawFn, content: bytes) -> bytes:
    """The content of a file of JSON values with damaged bytes or changed values."""
    if draw(st.booleans()):
        lines = content.split(b"\n") if content.startswith(b'{"') else [content]
        place = draw(st.sampled_from([index for index, line in enumerate(lines) if line.strip()]))
        return b"\n".join([*lines[:place], draw(_other_json(lines[place])), *lines[place + 1 :]])
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 200)))
    flipped = bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in content[start : start + 1])
    until, between, after = draw(
        st.sampled_from(
            [
                (start, b"", len(content)),  # cut
                (start, b"", end),  # a part removed
                (end, b"", start),  # a part repeated
                (start, flipped, start + 1),
                (start, draw(st.binary(max_size=50)), start),
                (0, _toml_text(draw(junk)).encode(), len(content)),
            ]
        )
    )
    return content[:until] + between + content[after:]
