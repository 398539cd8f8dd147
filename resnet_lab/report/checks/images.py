"""The check of the images that the runs learnt from, where they are on this machine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from resnet_lab.config.schema import DataConfig
from resnet_lab.errors import DataError
from resnet_lab.record.store import Run
from resnet_lab.report.checks.check import Check, Fault

_HERE = "Look at them with `resnet-lab data`; --data-dir names another folder."


def images(runs: Sequence[Run], data_dir: Path | None) -> Check:
    """Whether the images are those that the runs recorded; what is not on this machine is said and is no fault."""
    from resnet_lab.data.load import data_root  # noqa: PLC0415  # torch is slow to import

    root = data_root(data_dir)
    begun = [run for run in runs if run.environment]
    if not begun:
        return Check("data", "not recorded: no run has an environment.json", is_open=True)
    sentences, faults, compared = [], [], 0
    for config in {run.config.data.dataset: run.config.data for run in begun}.values():
        own = [run for run in begun if run.config.data.dataset == config.dataset]
        if config.facts.is_stand_in:
            sentences.append("the synthetic stand-in is made anew for each run")
            continue
        said, found = _folder(own, config, root) if config.facts.is_folder else _cifar(own, config, root)
        sentences.append(said)
        compared += not said.startswith("not here")
        faults += found
    return Check("data", "; ".join(sentences), tuple(faults), not compared)


def _cifar(runs: Sequence[Run], config: DataConfig, root: Path) -> tuple[str, list[Fault]]:
    from resnet_lab.data.cifar import CIFARS, has_md5  # noqa: PLC0415

    source = CIFARS[config.dataset]
    faults = [
        Fault(f"{run.name}/environment.json has other md5s of {source.name} than the published ones.", "Train it anew on those.")
        for run in runs
        if _provenance(run).get("md5") != source.files
    ]
    found = source.find(root)
    if found is None:
        return f"not here: {source.name} is not in {root}", faults
    if found.unpacked:
        wrong = source.corrupt_files(found.root)
    else:
        wrong = [] if has_md5(found.root / source.archive, source.archive_md5) else [f"{source.archive}: wrong md5"]
    faults += [Fault(f"{source.name} in {found.root}: {each}.", f"Remove it; {source.how_to_get}.") for each in wrong]
    return f"md5s of {source.name} in {root} compared with the runs' and the published ones", faults


def _folder(runs: Sequence[Run], config: DataConfig, root: Path) -> tuple[str, list[Fault]]:
    from resnet_lab.data import folder  # noqa: PLC0415

    try:
        train, test, _ = folder.find(root, config.image_size)
        digests = folder.digests(root, train, test)
    except DataError:
        return f"not here: no folder of images in {root}", []
    known = [run for run in runs if run.image_digests is not None and run.image_digests.names == digests.names]
    if not known:
        return f"not here: the images in {root} are others than the runs'", []
    faults = list(_other_sizes(known, digests.files))
    return f"names and sizes of the images in {root} compared with those of the runs", faults


def _other_sizes(runs: Sequence[Run], files: str) -> Iterator[Fault]:
    for run in runs:
        if run.image_digests is not None and run.image_digests.files != files:
            yield Fault(f"Some image files differ in size from those that {run.name} was trained on.", _HERE)


def _provenance(run: Run) -> dict[str, object]:
    found = run.environment.get("data")
    return found if isinstance(found, dict) else {}
