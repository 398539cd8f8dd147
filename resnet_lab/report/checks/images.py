"""The check of the images that the runs were trained on, if they are on this machine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_lab.config.schema import DataConfig
from resnet_lab.errors import DataError
from resnet_lab.record.store import Run
from resnet_lab.report.checks.check import Check, Fault

_NOT_COMPARED = "not compared"


def images(runs: Sequence[Run], data_dir: Path | None) -> Check:
    """Whether the images are those that the runs recorded; images that are not on this machine are no fault."""
    from resnet_lab.data.load import data_root  # noqa: PLC0415  # torch is slow to import

    root = data_root(data_dir)
    started = [run for run in runs if run.environment]
    if not started:
        return Check("data", "not recorded: no run has an environment.json", skipped=True)
    details: list[str] = []
    faults: list[Fault] = []
    for config in {run.config.data.dataset: run.config.data for run in started}.values():
        trained = [run for run in started if run.config.data.dataset == config.dataset]
        if config.facts.is_stand_in:
            details.append(f"{_NOT_COMPARED}: the synthetic stand-in is generated for each run")
            continue
        detail, found = _folder(trained, config, root) if config.facts.is_folder else _cifar(trained, config, root)
        details.append(detail)
        faults += found
    return Check("data", "; ".join(details), tuple(faults), all(detail.startswith(_NOT_COMPARED) for detail in details))


def _cifar(runs: Sequence[Run], config: DataConfig, root: Path) -> tuple[str, list[Fault]]:
    from resnet_lab.data.cifar import CIFARS, has_md5  # noqa: PLC0415

    source = CIFARS[config.dataset]
    faults = [
        Fault(f"{run.name}/environment.json has other md5s than the published ones of {source.name}.", "Train the run again.")
        for run in runs
        if _provenance(run).get("md5") != source.files
    ]
    location = source.find(root)
    if location is None:
        return f"{_NOT_COMPARED}: {source.name} is not in {root}", faults
    if location.unpacked:
        corrupt = source.corrupt_files(location.root)
    else:
        is_intact = has_md5(location.root / source.archive, source.archive_md5)
        corrupt = [] if is_intact else [f"{source.archive}: wrong md5"]
    faults += [Fault(f"{source.name} in {location.root}: {file}.", f"Remove it, then {source.how_to_get}.") for file in corrupt]
    return f"md5s of {source.name} in {root} compared with those recorded by the runs and the published ones", faults


def _folder(runs: Sequence[Run], config: DataConfig, root: Path) -> tuple[str, list[Fault]]:
    from resnet_lab.data import folder  # noqa: PLC0415

    try:
        train, test, _ = folder.find(root, config.image_size)
        digests = folder.digests(root, train, test)
    except DataError:
        return f"{_NOT_COMPARED}: no folder of images in {root}", []
    trained_here = [run for run in runs if run.image_digests is not None and run.image_digests.names == digests.names]
    if not trained_here:
        return f"{_NOT_COMPARED}: the images in {root} are not those of the runs", []
    faults = list(_size_changes(trained_here, digests.files))
    return f"names and sizes of the images in {root} compared with those recorded by the runs", faults


def _size_changes(runs: Sequence[Run], files: str) -> Iterator[Fault]:
    for run in runs:
        if run.image_digests is not None and run.image_digests.files != files:
            yield Fault(
                f"Some image files differ in size from those that {run.name} was trained on.",
                "Inspect them with `resnet-lab data --dataset folder`, or name another folder with --data-dir.",
            )


def _provenance(run: Run) -> dict[str, object]:
    provenance = run.environment.get("data")
    return provenance if isinstance(provenance, dict) else {}
