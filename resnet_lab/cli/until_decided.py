"""`resnet-lab sweep --until-decided`: what it plans and shows beyond a sweep of fixed seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import terminal
from resnet_lab.config.files import StudyConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.study.differences import Gap
from resnet_lab.study.verdict import verdict_on
from resnet_lab.sweep.until_decided import SequentialSweep, begin

if TYPE_CHECKING:
    from resnet_lab.sweep.plan import Plan

UntilDecided = Annotated[
    bool, typer.Option("--until-decided", help="Add seeds, one at a time, until the verdict on plain nets is decided.")
]
MaxSeeds = Annotated[
    int | None,
    typer.Option("--max-seeds", help="With --until-decided: maximum number of seeds, fixed before the first look (default: 10)."),
]


class Growing:
    """A sweep that grows by a seed after each look that leaves the verdict undecided; `plan` plans the sweep of a config."""

    def __init__(self, sequence: SequentialSweep, plan: "Callable[[StudyConfig], Plan]") -> None:
        self._sequence, self._plan = sequence, plan

    def plan(self) -> "Plan":
        """The plan of the seeds so far."""
        return self._plan(self._sequence.study)

    def declare(self) -> None:
        """Record the design in the study's folder. Raises DiskError."""
        self._sequence.declare()

    def look(self) -> "Plan | None":
        """Record and show a look at the verdict; the plan with one more seed, or None if no more are run. Raises DiskError."""
        gap = self._sequence.gap()
        self._sequence = self._sequence.with_look(gap)
        longer = self._sequence.continued(gap)
        terminal.note(_verdict(gap))
        if longer is None:
            if gap is None or gap.degradation == "undecided":
                terminal.note(f"All {self._sequence.design.max_seeds} seeds are used up.")
            return None
        terminal.note(f"Adding seed {longer.seeds[-1]}.")
        self._sequence = longer
        return self.plan()

    def rests_on(self, config: RunConfig) -> bool:
        """Whether the verdict rests on this run: a plain net without varied settings, of one of the two depths."""
        depths = self._sequence.source.sweep.depths
        is_extreme = config.model.depth in (min(depths), max(depths))
        return config.model.kind == "plain" and not config.varied and is_extreme

    def outlook(self) -> str:
        """How many more seeds a verdict is expected to need."""
        gap, first, most = self._sequence.gap(), self._sequence.design.first_look, self._sequence.design.max_seeds
        if gap is None or gap.bound is None:
            return f"The verdict is looked at with {first} seeds, and with each further one until it is decided, at most {most}."
        if gap.seeds_needed is None:
            return f"If mean and deviation stay as they are, {most} seeds will not decide the verdict."
        if gap.seeds_needed == 0:
            return f"No more seeds are needed. {_verdict(gap)}"
        seeds = f"{gap.seeds_needed} more seed{'s' if gap.seeds_needed > 1 else ''}"
        return f"If mean and deviation stay as they are, {seeds} will decide the verdict; at most {most} are run in all."

    def values(self) -> dict[str, Any]:
        """The design, the looks so far and the verdict as JSON."""
        gap = self._sequence.gap()
        return {
            "until_decided": {
                **self._sequence.design.model_dump(mode="json"),
                "seeds": list(self._sequence.seeds),
                "degradation": "undecided" if gap is None else gap.degradation,
                "seeds_needed": None if gap is None else gap.seeds_needed,
                "verdict": _verdict(gap),
            }
        }


def growing(
    source: StudyConfig,
    folder: Path,
    max_seeds: int | None,
    plan: "Callable[[StudyConfig], Plan]",
    *,
    until_decided: bool,
) -> Growing | None:
    """The sweep that grows; None without --until-decided. Raises ConfigError."""
    if until_decided:
        return Growing(begin(source, folder, max_seeds), plan)
    if max_seeds is not None:
        raise ConfigError("--max-seeds is an option of --until-decided: give both, or set sweep.seeds.")
    return None


def _verdict(gap: Gap | None) -> str:
    return verdict_on([] if gap is None else [gap])[0]
