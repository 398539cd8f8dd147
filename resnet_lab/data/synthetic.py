"""A procedural stand-in for CIFAR-10: ten shapes on cluttered backgrounds, 32x32 colour, a pure function of the seed.

Results on it say nothing about the paper's; it lets the whole pipeline run where CIFAR-10 is not available. Position, size,
rotation, colours, contrast, texture, distractors and noise vary within a class.
"""

import torch
from torch import Tensor
from torch.nn import functional

from resnet_lab.data.images import ImageSet
from resnet_lab.rng import generator

CLASSES = ("disk", "ring", "square", "frame", "triangle", "cross", "bars", "crescent", "ell", "dumbbell")
_SIZE = 32
_CHUNK = 250


def synthesise(part: str, num_images: int, seed: int = 0) -> ImageSet:
    """`num_images` images of a part ("train" or "test"), uint8 `(N, 3, 32, 32)`; a larger set begins with the smaller one."""
    chunks = [_chunk(generator(seed, f"synthetic/{part}", index)) for index in range(-(-num_images // _CHUNK))]
    images, labels = (torch.cat(parts)[:num_images] for parts in zip(*chunks, strict=True))
    return ImageSet(images, labels)


def _chunk(source: torch.Generator) -> tuple[Tensor, Tensor]:
    """_CHUNK images `(N, 3, 32, 32)` uint8 and labels `(N,)`."""
    labels = torch.randint(0, len(CLASSES), (_CHUNK,), generator=source)
    image = _smooth_noise(source, cells=5, channels=3) * 0.4 + _smooth_noise(source, cells=12, channels=3) * 0.15
    for _ in range(2):  # distractors: pieces of other shapes, small and faint
        other = torch.randint(0, len(CLASSES), (_CHUNK,), generator=source)
        mask = _mask(source, other, scale=(0.12, 0.25), reach=0.9, supersampling=1)
        image = torch.lerp(image, _colour(source), 0.7 * mask)
    mask = _mask(source, labels, scale=(0.28, 0.62), reach=0.35, supersampling=2)
    texture = _smooth_noise(source, cells=8, channels=3) * 0.35
    contrast = 0.5 + 0.5 * torch.rand(_CHUNK, 1, 1, 1, generator=source)
    image = torch.lerp(image, _colour(source) + texture, contrast * mask)
    image = image + 0.08 * torch.randn(image.shape, generator=source)
    brightness = 0.8 + 0.4 * torch.rand(_CHUNK, 1, 1, 1, generator=source)
    pixels = ((image * brightness * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels, labels


def _colour(source: torch.Generator) -> Tensor:
    """One random colour per image, `(N, 3, 1, 1)` in -1..1."""
    return torch.rand(_CHUNK, 3, 1, 1, generator=source) * 2 - 1


def _smooth_noise(source: torch.Generator, *, cells: int, channels: int) -> Tensor:
    """Gaussian noise on a coarse grid, upsampled to `(N, channels, 32, 32)`."""
    coarse = torch.randn(_CHUNK, channels, cells, cells, generator=source)
    return functional.interpolate(coarse, size=(_SIZE, _SIZE), mode="bilinear", align_corners=True)


def _mask(source: torch.Generator, labels: Tensor, *, scale: tuple[float, float], reach: float, supersampling: int) -> Tensor:
    """Coverage of each image by its shape, `(N, 1, 32, 32)` in 0..1, at a random position, size and rotation."""
    low, high = scale
    size = low + (high - low) * torch.rand(_CHUNK, 1, 1, generator=source)
    centre = (torch.rand(2, _CHUNK, 1, 1, generator=source) * 2 - 1) * reach
    angle = torch.rand(_CHUNK, 1, 1, generator=source) * (2 * torch.pi)
    stretch = 0.8 + 0.4 * torch.rand(_CHUNK, 1, 1, generator=source)
    fine = _SIZE * supersampling
    axis = (torch.arange(fine) + 0.5) / fine * 2 - 1
    x, y = axis[None, None, :] - centre[0], axis[None, :, None] - centre[1]
    u = (x * angle.cos() + y * angle.sin()) / size * stretch
    v = (y * angle.cos() - x * angle.sin()) / size / stretch
    inside = torch.zeros(_CHUNK, fine, fine, dtype=torch.bool)
    for label in range(len(CLASSES)):
        members = labels == label
        inside[members] = _inside(label, u[members], v[members])
    return functional.avg_pool2d(inside[:, None].float(), supersampling)


def _inside(label: int, u: Tensor, v: Tensor) -> Tensor:
    """Whether points (u, v) lie inside the shape of a class, which extends to about -1..1."""
    radius, box = u.hypot(v), torch.maximum(u.abs(), v.abs())
    name = CLASSES[label]
    if name == "disk":
        return radius < 0.95
    if name == "ring":
        return (radius < 1) & (radius > 0.6)
    if name == "square":
        return box < 0.85
    if name == "frame":
        return (box < 0.9) & (box > 0.55)
    if name == "triangle":
        return (v > -0.7) & (v < 1 - 1.75 * u.abs())
    if name == "cross":
        return (box < 1) & (torch.minimum(u.abs(), v.abs()) < 0.3)
    if name == "bars":
        return (box < 0.9) & (v.abs() > 0.3)
    if name == "crescent":
        return (radius < 1) & ((u - 0.5).hypot(v) > 0.8)
    if name == "ell":
        return (box < 0.9) & ((u < -0.25) | (v < -0.25))
    assert name == "dumbbell"
    return ((u.abs() - 0.6).hypot(v) < 0.42) | ((u.abs() < 0.6) & (v.abs() < 0.16))
