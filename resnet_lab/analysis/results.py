"""What every analysis says: a JSON file under a run's `analysis/`. Errors are fractions, losses are means per image."""

from pydantic import BaseModel, ConfigDict, Field

from resnet_lab.record.files import to_json
from resnet_lab.record.store import RunFolder
from resnet_lab.record.sums import write_listed

Row = tuple[float | None, ...]  # losses; None where one is not finite


class Values(BaseModel):
    """Frozen, strictly typed, no unknown keys; a number that is not finite cannot be stored, and is None where it may occur."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Result(Values):
    """The outcome of one analysis of a run at a step."""

    step: int = Field(ge=0, description="the checkpoint's step; 0: the initial network")
    analysis: str = Field(description="the name of the analysis, which tells how to read the file")

    @property
    def file_name(self) -> str:
        """Its file under `analysis/`: the same analysis of the same step replaces it."""
        return f"{self.analysis}-{self.step:08d}.json"


def save(folder: RunFolder, result: Result) -> None:
    """Write a result under the run's `analysis/`. Raises DiskError."""
    write_listed(folder.analysis, {result.file_name: to_json(result.model_dump(mode="json"))})
