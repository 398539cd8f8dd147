"""The paper's augmentation in two parts: `draw` random parameters, then `apply` them to a whole batch.

He et al. 2015, Sec. 4.2: 4 pixels are padded on each side and a 32x32 crop is sampled from the padded image or its flip.
"""

from typing import NamedTuple

import torch
from torch import Tensor

PADDING = 4


class Augmentation(NamedTuple):
    """Per image: crop offsets `(N, 2)` (row, column) in 0..2*PADDING, and whether to flip it `(N,)`."""

    offsets: Tensor
    flips: Tensor


def draw(generator: torch.Generator, num_images: int) -> Augmentation:
    """Draw each of the 81 crops and both orientations with equal probability."""
    offsets = torch.randint(0, 2 * PADDING + 1, (num_images, 2), generator=generator)
    flips = torch.randint(0, 2, (num_images,), generator=generator).bool()
    return Augmentation(offsets, flips)


def apply(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Crop and flip normalised `images` `(N, C, H, W)`, padded with zeros, which stand for the mean image.

    Returns `(N, C, H, W)` in channels-last memory format.
    """
    num_images, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, (PADDING,) * 4)
    rows = augmentation.offsets[:, :1] + torch.arange(height, device=images.device)
    x = torch.arange(width, device=images.device)
    columns = augmentation.offsets[:, 1:] + torch.where(augmentation.flips[:, None], x.flip(0), x)
    pixels = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # (N, H, W), indices into the flattened padded image
    indices = pixels.view(num_images, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, indices).view_as(images).contiguous(memory_format=torch.channels_last)
