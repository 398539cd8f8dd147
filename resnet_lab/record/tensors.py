"""What torch.save wrote, read so that nothing in it can run."""

import io
import warnings
import zipfile
from typing import Any

import torch

_SPARE_BYTES = 1 << 20  # more than the compressed text of a TorchScript program takes, of which torch says what it is


def load_tensors(content: bytes) -> Any:
    """Tensors and plain values, on the CPU.

    Raises ValueError where the file is compressed, so that it would take far more memory than its own size, and whatever other
    errors damaged or foreign bytes lead torch to.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content) + _SPARE_BYTES:
                raise ValueError("it is compressed, which torch.save does not do")
    with warnings.catch_warnings(action="ignore"):  # the callers say what is wrong
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
