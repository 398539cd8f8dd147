"""Results of analyses: JSON files in a run's `analysis/`. Errors are fractions, losses are means per image."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from resnet_lab.config.model import ModelConfig
from resnet_lab.record.checksums import write_files
from resnet_lab.record.files import to_json
from resnet_lab.record.store import RunFolder

Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(gt=-1e100, lt=1e100)]  # whose sums and axes are finite as well
Row = tuple[Number | None, ...]  # losses; None where one is not finite


class Values(BaseModel):
    """A frozen, strictly typed record without unknown keys. Numbers must be finite; where they may not be, None replaces them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Result(Values):
    """The outcome of one analysis of a run at a step."""

    step: Count = Field(description="the checkpoint's step; 0: the initial network")
    analysis: str = Field(description="the name of the analysis, which identifies the type of the result")

    @property
    def file_name(self) -> str:
        """The name of its file in `analysis/`; repeating the same analysis of the same step replaces it."""
        return f"{self.analysis}-{self.step:08d}.json"

    def fits(self, model: ModelConfig) -> bool:
        """Return whether it has the parts that an analysis of this model has; a damaged file may lack some."""
        return True


def block_names(model: ModelConfig) -> list[str]:
    """Return the names of a network's blocks, such as `stages.0.1`, in the order in which they are applied."""
    return [f"stages.{stage}.{place}" for stage, blocks in enumerate(model.stages) for place in range(blocks)]


def layer_names(model: ModelConfig) -> list[str]:
    """Return the names of a network's stem and the layers of its blocks, such as `stages.0.1.conv2`."""
    numbers = range(1, model.block_facts.num_layers + 1)
    return ["stem", *(f"{block}.conv{number}" for block in block_names(model) for number in numbers)]


def projection_names(model: ModelConfig) -> list[str]:
    """Return the names of a network's projections: of option B where the shape changes, of option C in every block."""
    same = ["stages.0.0"] if model.block_facts.expansion == 1 else []
    changing = [name for name in block_names(model) if name.endswith(".0") and name not in same]
    blocks = {"A": [], "B": changing, "C": block_names(model)}[model.shortcut if model.has_shortcuts else "A"]
    return [f"{block}.shortcut" for block in blocks]


def save(folder: RunFolder, result: Result) -> None:
    """Write a result to the run's `analysis/`. Raises DiskError."""
    write_files(folder.analysis, {result.file_name: to_json(result.model_dump(mode="json"))})
