"""Loads files written by torch.save without running code in them."""

import io
import warnings
import zipfile
from typing import Any

import torch

_SPARE_BYTES = 1 << 20  # TorchScript programs contain compressed text, and torch reports them with a message of its own


def load_tensors(content: bytes) -> Any:
    """Tensors and plain values from the content of a file, on the CPU.

    Raises ValueError if the file is compressed, since it could need far more memory than its size. For damaged or foreign files
    torch raises almost anything.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content) + _SPARE_BYTES:
                raise ValueError("the file is compressed, which torch.save never does")
    with warnings.catch_warnings(action="ignore"):  # callers report errors
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
