"""Results of analyses: JSON files in a run's `analysis/`. Errors are fractions, losses are means per image."""

from pydantic import BaseModel, ConfigDict, Field

from resnet_lab.record.files import write_json
from resnet_lab.record.store import RunFolder

Row = tuple[float | None, ...]  # losses; None where one is not finite


class Values(BaseModel):
    """A frozen, strictly typed record without unknown keys. Numbers must be finite; where they may not be, None replaces them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Result(Values):
    """The outcome of one analysis of a run at a step."""

    step: int = Field(ge=0, description="the checkpoint's step; 0: the initial network")
    analysis: str = Field(description="the name of the analysis, which identifies the type of the result")

    @property
    def file_name(self) -> str:
        """The name of its file in `analysis/`; repeating the same analysis of the same step replaces it."""
        return f"{self.analysis}-{self.step:08d}.json"


def save(folder: RunFolder, result: Result) -> None:
    """Write a result to the run's `analysis/`. Raises DiskError."""
    folder.make_analysis()
    write_json(folder.analysis / result.file_name, result.model_dump(mode="json"))
