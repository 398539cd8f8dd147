"""What an analysis says: the JSON files under a run's `analysis/`. Errors are fractions, losses are means per image."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from resnet_lab.record.files import write_json
from resnet_lab.record.store import RunFolder


class _Values(BaseModel):
    """Frozen, strictly typed, no unknown keys; a number that is not finite cannot be stored, and is None where it may occur."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Result(_Values):
    """The outcome of one analysis of a run at a step."""

    step: int = Field(ge=0, description="the checkpoint's step; 0: the initial network")

    @property
    def file_name(self) -> str:
        """Its file under `analysis/`: the same analysis of the same step replaces it."""
        return f"{self.analysis}-{self.step:08d}.json"  # type: ignore[attr-defined]


class LayerResponse(_Values):
    """Mean and standard deviation of a layer's outputs over images, channels and positions."""

    name: str
    mean: float
    std: float


class Responses(_Result):
    """Fig. 7: how strongly each 3x3 layer responds, on so many test images."""

    analysis: Literal["responses"] = "responses"
    images: int
    layers: tuple[LayerResponse, ...]


class GradientNorm(_Values):
    """Euclidean norm of the gradient of a batch's mean loss: its mean over batches, and deviation where there are several."""

    name: str
    norm: float
    deviation: float | None


class Gradients(_Result):
    """Gradients by each convolution's weight and by each block's output, in training mode."""

    analysis: Literal["gradients"] = "gradients"
    batches: int
    batch_size: int
    weights: tuple[GradientNorm, ...]
    blocks: tuple[GradientNorm, ...]


class Errors(_Values):
    """Clean training error and test error of one network on the images of the analysis."""

    train: float
    test: float


class BatchNoise(_Values):
    """How far the construction is from the shallower network in training mode, where batches normalise themselves."""

    batches: int
    rms_difference: float = Field(description="of the logits, over images and classes")
    rms_logits: float = Field(description="of the shallower network's logits, for comparison")
    max_difference: float
    shallow_loss: float
    constructed_loss: float


class CurvePoint(_Values):
    """Clean errors of the construction after so many further steps."""

    step: int
    train: float
    test: float


class Continued(_Values):
    """Training that went on from the construction."""

    steps: int = Field(description="steps that it was to take")
    step: int = Field(description="steps that it has taken")
    curve: tuple[CurvePoint, ...]


class Identity(_Result):
    """The deeper counterpart of a trained network that computes the same function, beside training from scratch."""

    analysis: Literal["identity"] = "identity"
    depth: int = Field(description="of the construction")
    train_images: int
    test_images: int
    max_difference: float = Field(description="largest absolute difference of a logit, over all images")
    changed_predictions: int
    shallow: Errors
    constructed: Errors
    scratch: Errors | None = Field(description="the same depth and seed trained by SGD, if the study has it")
    scratch_step: int | None
    noise: BatchNoise
    continued: Continued | None = None

    @property
    def file_name(self) -> str:
        """One for each depth that is constructed."""
        return f"identity-{self.depth}-{self.step:08d}.json"


class RemovedBlock(_Values):
    """Test error without one block."""

    name: str
    error: float


class Removal(_Values):
    """Test errors without so many blocks, one for each draw of which they are."""

    number: int
    errors: tuple[float, ...]


class Paths(_Result):
    """Test errors of a network with blocks removed."""

    analysis: Literal["paths"] = "paths"
    images: int
    baseline: float
    blocks: tuple[RemovedBlock, ...]
    removals: tuple[Removal, ...]


Row = tuple[float | None, ...]


class Landscape(_Result):
    """Training loss and error on a slice around a network, a row for each place along the second direction."""

    analysis: Literal["landscape"] = "landscape"
    dims: int
    bn: Literal["moving", "batch"]
    seed: int
    images: int
    coordinates: tuple[float, ...]
    losses: tuple[Row, ...] = Field(description="None where a loss is not finite")
    errors: tuple[tuple[float, ...], ...]

    @property
    def file_name(self) -> str:
        """One for each number of directions and way of BN."""
        return f"landscape-{self.dims}d-{self.bn}-{self.step:08d}.json"


class Line(_Result):
    """Loss and error on the straight line from a network, at position 0, to another, at 1."""

    analysis: Literal["line"] = "line"
    other: str
    other_step: int
    bn: Literal["moving", "batch"]
    train_images: int
    test_images: int
    positions: tuple[float, ...]
    train_losses: Row
    train_errors: tuple[float, ...]
    test_losses: Row
    test_errors: tuple[float, ...]

    @property
    def file_name(self) -> str:
        """One for each other end and way of BN."""
        return f"line-{self.bn}-to-{self.other}-{self.other_step:08d}-{self.step:08d}.json"


Result = Annotated[Responses | Gradients | Identity | Paths | Landscape | Line, Field(discriminator="analysis")]
_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def save(folder: RunFolder, result: Result) -> None:
    """Write a result under the run's `analysis/`. Raises DiskError."""
    folder.make_analysis()
    write_json(folder.analysis / result.file_name, result.model_dump(mode="json"))


def read(folder: RunFolder) -> tuple[list[Result], list[str]]:
    """The readable results of a run, by file name, and one sentence for each file that is none."""
    results, faults = [], []
    for path in sorted(folder.analysis.glob("*.json")):
        try:
            results.append(_RESULT.validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            faults.append(f"{folder.path.name}/analysis/{path.name} is no result of an analysis and is left out.")
    return results, faults
