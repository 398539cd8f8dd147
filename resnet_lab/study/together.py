"""Several studies as one, for `resnet-lab compare A B`."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from resnet_lab.errors import ConfigError
from resnet_lab.record.store import Run
from resnet_lab.record.study import Study
from resnet_lab.study.cases import differing_settings
from resnet_lab.study.compare import Comparison
from resnet_lab.study.digest import records_digest


def together(comparisons: Sequence[Comparison]) -> Study:
    """The runs of all these studies as one study. Of two runs of one name with different records, the first one counts.

    Its `faults` name such runs. Raises ConfigError, with the keys, if the studies have different recipes or images, or if one of
    them adds seeds until its verdict is decided.
    """
    studies = [comparison.study for comparison in comparisons]
    for study in studies:
        if (study.design is not None or study.has_lost_design) and len(studies) > 1:
            raise ConfigError(
                f"{study.name} adds seeds until its verdict is decided, and its intervals hold for these seeds alone, so it "
                "cannot be compared together with other studies."
            )
    _require_one_recipe([comparison for comparison in comparisons if comparison.runs])
    runs: dict[str, Run] = {}
    faults = list(chain.from_iterable(study.faults for study in studies))
    for study in studies:
        for run in study.runs:
            first = runs.setdefault(run.name, run)
            if first is not run and records_digest([first]) != records_digest([run]):
                kept = first.folder.path.parent.name
                faults.append(f"{run.name}: that of {study.name} is left out, since {kept} has one with other records.")
    name = " and ".join(study.name for study in studies)
    return Study(Path(name), tuple(sorted(runs.values(), key=lambda run: run.name)), tuple(faults))


def _require_one_recipe(comparisons: Sequence[Comparison]) -> None:
    for other in comparisons[1:]:
        first, second = comparisons[0].runs[0], other.runs[0]
        names = f"{comparisons[0].study.name} and {other.study.name}"
        settings = differing_settings(first.config, second.config)
        if settings:
            raise ConfigError(f"{names} have different recipes and cannot be compared as one study: {settings}.")
        images = [run.image_digests.names for run in (first, second) if run.image_digests is not None]
        if len(set(images)) > 1:
            raise ConfigError(f"{names} cannot be compared as one study: they were trained on different images.")
