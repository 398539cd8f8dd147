"""Reading settings from presets, TOML files, `--set` and command-line options, and error messages for invalid ones."""

import copy
import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resnet_lab.config.blocks import BlockType, Span
from resnet_lab.config.compute import ComputeConfig
from resnet_lab.config.durations import DURATION_KEYS
from resnet_lab.config.identity import identity
from resnet_lab.config.schema import RunConfig
from resnet_lab.config.settings import Settings, flatten, get, merge
from resnet_lab.config.slurm import SlurmConfig
from resnet_lab.config.sweep import SweepConfig
from resnet_lab.config.terms import Kind, Layout, Shortcut
from resnet_lab.config.varied import VariedSettings
from resnet_lab.errors import ConfigError
from resnet_lab.text import shortened

DEFAULT_PRESET = "plateau"


Override = tuple[tuple[str, ...], Any]  # key path and value
_NOT_OF_RUNS: Mapping[type[BaseModel], str] = {SweepConfig: "sweep", SlurmConfig: "slurm"}  # sections that no run has


class StudyConfig:
    """A config file with overrides: the settings shared by all runs, the sweep, and how Slurm starts it.

    Raises ConfigError if they are invalid.
    """

    def __init__(self, name: str, source: str, settings: Settings, overrides: Sequence[Override] = ()) -> None:
        self.name = name
        self._source = source
        self._overrides = overrides
        over: Settings = {}
        for path, value in self._overrides:
            over = merge(over, _nested(path, value))
        merged = merge(settings, over)
        self._settings = {key: value for key, value in merged.items() if key not in _NOT_OF_RUNS.values()}
        for section in ("model", *_NOT_OF_RUNS.values()):
            if not isinstance(merged.get(section, {}), dict):
                raise ConfigError(
                    f"{self.where(section)}: {section} must be a section [{section}], got {shortened(merged[section])}."
                )
        with _readable_errors(self.where, SweepConfig):
            self.sweep = SweepConfig.model_validate(merged.get("sweep", {}))
        self._slurm: Settings = merged.get("slurm", {})
        self.slurm()

    def run(
        self,
        *,
        kind: Kind | None = None,
        depth: int | None = None,
        shortcut: Shortcut | None = None,
        block: BlockType | None = None,
        layout: Layout | None = None,
        span: Span | None = None,
        seed: int | None = None,
        vary: VariedSettings | None = None,
        of_sweep: bool = False,
    ) -> RunConfig:
        """The config of one run; arguments that are None are taken from the file, and those in `vary` replace the file's.

        Raises ConfigError, which lists every problem. It attributes the arguments to command-line options, or to the file's
        `[sweep]` section with `of_sweep`.
        """
        network = {"kind": kind, "depth": depth, "shortcut": shortcut, "block": block, "layout": layout, "span": span}
        model = {key: value for key, value in network.items() if value is not None}
        seeds: Settings = {} if seed is None else {"seed": seed}
        settings = merge(self._settings, {"model": model, **seeds})
        for key, value in (vary or {}).items():
            settings = merge(settings, _nested(key.split("."), value))
        given = {**model, **seeds}

        def _where(key: str) -> str:
            flag = key.removeprefix("model.")
            if any(f"{key}.".startswith(f"{varied}.") for varied in vary or {}):
                return self.where(f"sweep.vary.{key}")
            if flag not in given:
                return self.where(key)
            return self.where(f"sweep.{flag}s") if of_sweep else f"--{flag}"

        with _readable_errors(_where, RunConfig):
            return RunConfig.model_validate(settings)

    def with_seeds(self, seeds: Sequence[int]) -> "StudyConfig":
        """The same study with these seeds in its sweep."""
        changed = copy.copy(self)
        changed.sweep = self.sweep.model_copy(update={"seeds": tuple(seeds)})
        return changed

    def slurm(self, given: Settings | None = None) -> SlurmConfig:
        """The settings of Slurm; those given, from command-line options, replace the file's. Raises ConfigError."""
        given = given or {}

        def _where(key: str) -> str:
            _, *path = key.split(".")
            if get(given, path) is None:
                return self.where(key)
            return "--slurm" if path[0] == "options" else f"--{path[0].replace('_', '-')}"

        with _readable_errors(_where, SlurmConfig):
            return SlurmConfig.model_validate(merge(self._slurm, given))

    def sets(self, path: Sequence[str]) -> bool:
        """Whether the file or an override sets this key."""
        return get(self._settings, path) is not None

    def where(self, key: str) -> str:
        """The source of a key's value, for messages: the file, or `--set`."""
        overridden = (".".join(path) for path, _ in self._overrides)
        return "--set" if any(f"{key}.".startswith(f"{path}.") for path in overridden) else self._source


def load_study(source: str | None = None, overrides: Sequence[str] = (), *, compile: bool | None = None) -> StudyConfig:
    """Read a preset by name, or a TOML file by path; the default is the preset `plateau`.

    `overrides` are `KEY=VALUE` settings; `compile` overrides `compute.compile`. Raises ConfigError.
    """
    source = DEFAULT_PRESET if source is None else source
    if source.endswith(".toml") or "/" in source:
        path = Path(source)
        if not path.is_file():
            raise ConfigError(f"There is no config file {source}; the presets are {', '.join(presets())}.")
    else:
        if source not in presets():
            raise ConfigError(
                f"There is no preset {shortened(source)}{_nearest(source, presets())}; the presets are {', '.join(presets())}. "
                "Give a file by its path, such as ./my.toml."
            )
        path = presets()[source]
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # invalid TOML or UTF-8, too many digits, too deep nesting
        raise ConfigError(f"{source} is not valid TOML: {error}.") from error
    changes = [_parse_override(text) for text in overrides]
    if compile is not None:
        changes.append((("compute", "compile"), compile))
    return StudyConfig(path.stem, source, settings, changes)


def load_run(text: str, source: str) -> RunConfig:
    """Parse a run's config.json, which must state every setting of its identity. Raises ConfigError, which names `source`."""
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid JSON: {error}.") from error
    if isinstance(settings, dict):  # runs older than these settings were not compiled
        settings.setdefault("compute", ComputeConfig(compile=False).model_dump())
        if isinstance(settings["compute"], dict) and settings["compute"].get("compile", "auto") == "auto":
            settings["compute"]["compile"] = False
    with _readable_errors(lambda _: source, RunConfig):
        config = RunConfig.model_validate(settings)
    stated = dict(flatten(settings))
    missing = [key for key, _ in flatten(identity(config.model_dump(mode="json"), RunConfig)) if key not in stated]
    if missing:  # a default could make it a different run
        raise ConfigError(f"{source}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.")
    return config


def json_schema() -> Settings:
    """The JSON schema of config files. Every setting is optional, since it has a default or a command-line option."""
    schema = RunConfig.model_json_schema()
    for section, key in _NOT_OF_RUNS.items():
        schema["$defs"][section.__name__] = section.model_json_schema()
        schema["properties"][key] = {"$ref": f"#/$defs/{section.__name__}"}
    for part in (schema, *schema["$defs"].values()):
        part.pop("required", None)
    return schema


def all_keys() -> Iterator[str]:
    """The dotted keys of all settings of a config file."""
    yield from (key for key in known_keys(RunConfig) if key != "varied")  # by sweeps
    yield from (f"{name}.{key}" for section, name in _NOT_OF_RUNS.items() for key in known_keys(section))


def presets() -> dict[str, Path]:
    """Paths of the shipped configs by name: inside the installed package, or at the root of a checkout."""
    package = Path(__file__).parent.parent
    folder = next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


@contextmanager
def _readable_errors(where: Callable[[str], str], model: type[BaseModel]) -> Iterator[None]:
    """Turn a ValidationError into a ConfigError with one sentence per problem: its source, its key and a remedy."""
    try:
        yield
    except ValidationError as error:
        details = error.errors()
        innermost = [detail for detail in details if not any(_is_inside(other, detail) for other in details)]
        raise ConfigError("\n".join(line for detail in innermost for line in _sentences(detail, where, model))) from error


def _is_inside(inner: ErrorDetails, outer: ErrorDetails) -> bool:
    """Whether a problem lies within the value that another problem is about, and so explains it."""
    depth = len(outer["loc"])
    return len(inner["loc"]) > depth > 0 and inner["loc"][:depth] == outer["loc"]


def _sentences(detail: ErrorDetails, where: Callable[[str], str], model: type[BaseModel]) -> list[str]:
    if detail["type"] == "conflicts":
        return [f"{where(key)}: {key}: {message}." for key, message in detail["ctx"]["problems"]]
    return [detail["msg"] + "." if detail["type"] == "depth" else _sentence(detail, where, model)]


def _sentence(detail: ErrorDetails, where: Callable[[str], str], model: type[BaseModel]) -> str:
    location = [part if part.isprintable() and len(part) < 120 else shortened(part) for part in map(str, detail["loc"])]
    if location[:2] == ["recipe", "schedule"] and location[2:3] in (["plateau"], ["milestones"]):
        del location[2]  # pydantic inserts the tag of the union's member, which is not a key
    if location[-1:] and location[-1] in ("int", "literal['all']", "constrained-int"):
        del location[-1]  # likewise for untagged unions
    key = ".".join(location)
    full = f"{_NOT_OF_RUNS[model]}.{key}" if model in _NOT_OF_RUNS else key
    prefix = f"{where(full)}: {full}"
    if detail["type"] == "extra_forbidden" and key in known_keys(model):
        other = "milestones" if key.endswith(".milestones") else "plateau"
        return f"{prefix} applies only to recipe.schedule.name = '{other}'."
    if detail["type"] == "extra_forbidden":
        return f"{prefix} is not a setting{_nearest(key, known_keys(model))}."
    if detail["type"] == "missing":
        hint = {"model.kind": "; use --plain or --residual", "model.depth": "; use --depth N, such as --depth 20"}
        return f"{full} is not set{hint.get(key, '')}."
    if detail["type"] == "union_tag_invalid":
        return f"{prefix}.name must be 'plateau' or 'milestones', got {shortened(detail['input'].get('name'))}."
    return f"{prefix}{_problem(detail, full)}, got {shortened(detail['input'])}."


def _problem(detail: ErrorDetails, key: str) -> str:
    """What is wrong with the value of a key."""
    if detail["type"] in ("model_type", "model_attributes_type"):
        return f" is a section, such as [{key}] with lines KEY = VALUE"
    if detail["type"] == "too_short":
        fewest = detail["ctx"]["min_length"]
        return f" needs at least {fewest} value{'s' if fewest > 1 else ''}"
    if detail["type"] == "int_type" and isinstance(detail["input"], str) and tuple(key.split(".")) in DURATION_KEYS:
        units = "'400 steps' or '3 epochs'" if key.endswith(".steps") else "'400 steps', '3 epochs' or '50 %'"
        return f": must be a whole number, or a duration such as {units}"
    return ": " + detail["msg"][0].lower() + detail["msg"][1:].replace("valid tuple", "list")


def known_keys(model: type[BaseModel]) -> list[str]:
    """All dotted keys of a config class, in order."""
    keys = []
    for key, field in model.model_fields.items():
        types = [field.annotation, *getattr(field.annotation, "__args__", ())]
        sections = [section for section in types if isinstance(section, type) and issubclass(section, BaseModel)]
        keys += [f"{key}.{inner}" for section in sections for inner in known_keys(section)] or [key]
    return list(dict.fromkeys(keys))


def _nearest(word: str, candidates: Iterable[str]) -> str:
    candidates = list(candidates)
    same_last_key = [candidate for candidate in candidates if candidate.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
    close = same_last_key or difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _parse_override(text: str) -> Override:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        raise ConfigError(f"--set expects KEY=VALUE, such as --set recipe.steps=2000, got {shortened(text)}.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # not TOML, a number with too many digits, or nested too deeply
        parsed = value.strip()
    return tuple(key.split(".")), parsed


def _nested(path: Sequence[str], value: Any) -> Settings:
    for key in reversed(path):
        value = {key: value}
    return value  # type: ignore[no-any-return]
