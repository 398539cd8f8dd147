"""Completion of presets, settings, studies and runs in the shell (bash, zsh, fish).

What cannot be read completes to nothing: a traceback would end up in the command line.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from typer import Context

from resnet_lab.config.files import all_keys, presets
from resnet_lab.errors import LabError
from resnet_lab.record.study import DEFAULT_ROOT, run_folders, study_folders

Completer = Callable[[Context, str], list[str]]


def _completing(candidates: Callable[[Context, str], Iterable[str]]) -> Completer:
    """A completer from a function of the command's context and the incomplete word."""

    def complete(context: Context, incomplete: str) -> list[str]:
        try:
            return [word for word in candidates(context, incomplete) if word.startswith(incomplete)]
        except (LabError, OSError):
            return []

    return complete


@_completing
def configs(context: Context, incomplete: str) -> Iterator[str]:
    """The presets, and TOML files and folders in the folder that the word names."""
    yield from sorted(presets())
    folder, _, _ = incomplete.rpartition("/")
    for entry in sorted(os.scandir(f"{folder}/" if "/" in incomplete else "."), key=lambda entry: entry.name):
        path = f"{folder}/{entry.name}" if "/" in incomplete else entry.name
        if entry.is_dir():
            yield f"{path}/"
        elif entry.name.endswith(".toml"):
            yield path


@_completing
def settings(context: Context, incomplete: str) -> Iterator[str]:
    """The keys of all settings, followed by an equals sign."""
    return (f"{key}=" for key in all_keys())


@_completing
def studies(context: Context, incomplete: str) -> Iterator[str]:
    """The names of the studies in --runs."""
    return (folder.name for folder in study_folders(_root(context)))


@_completing
def studies_and_commands(context: Context, incomplete: str) -> Iterator[str]:
    """What follows `resnet-lab runs`: its commands, and the names of the studies in --runs."""
    yield from ("rm", "import")
    yield from (folder.name for folder in study_folders(_root(context)))


@_completing
def runs(context: Context, incomplete: str) -> Iterator[str]:
    """The names of the studies in --runs, and their runs as STUDY/RUN."""
    for study in study_folders(_root(context)):
        yield study.name
        yield from (f"{study.name}/{run.path.name}" for run in run_folders(study))


def _root(context: Context) -> Path:
    return Path(context.params.get("runs") or DEFAULT_ROOT)
