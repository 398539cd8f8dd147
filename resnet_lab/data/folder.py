"""Folders of images that do not fit in memory: listed once, decoded ahead of use by threads, augmented as for ImageNet.

He et al. 2015, Sec. 3.4: the shorter side is resized to a random length of 256 to 480 pixels, a random 224x224 crop is taken of
the image or its flip, the per-pixel mean is subtracted, and colours are shifted along their principal components (Krizhevsky et
al. 2012, Sec. 4.1). For testing, the shorter side is resized to 256, and the network gets the centre crop of the central square,
or ten crops: the four corners, the centre, and their flips. All lengths scale with the input size.
"""

import hashlib
import itertools
import math
import os
import stat
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from resnet_lab.data.batches import Order, Own, whole
from resnet_lab.data.images import Images, normalise
from resnet_lab.errors import DataError
from resnet_lab.record.digests import Digests
from resnet_lab.rng import generator

TRAIN, TEST = "train", "val"
STATISTICS_IMAGES = 1_000
_COLOUR_DEVIATION = 0.1
_INPUT, _TEST_SIDE, _MAX_SIDE = 224, 256, 480  # the paper's, in pixels
_MIN_BATCHES_AHEAD = 2
_CROPS_AHEAD = 4  # per thread
_MAX_THREADS = 16
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # by content; Pillow starts a program for others, such as EPS
_CPU = torch.device("cpu")
_HINT = f"use --data-dir to name a folder with {TRAIN}/CLASS/IMAGE.jpg and {TEST}/CLASS/IMAGE.jpg"


@dataclass(frozen=True)
class FolderSet(Images):
    """Image files and their labels `(N,)` int64; images are decoded on demand and moved to `device`.

    `size` is the height and width of the network's input, in pixels.
    """

    files: tuple[str, ...]
    labels: Tensor
    size: int
    device: torch.device = _CPU

    def __len__(self) -> int:
        return len(self.files)

    def pick(self, indices: Tensor) -> "FolderSet":
        """The images at these indices, in their order."""
        return replace(self, files=tuple(self.files[index] for index in indices.tolist()), labels=self.labels[indices.cpu()])

    def to(self, device: torch.device) -> "FolderSet":
        """A copy whose images are moved to a device when decoded."""
        return replace(self, device=device)

    def chunks(self, batch_size: int, views: int = 1, which: slice = slice(None)) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, in batches: uint8 `(N, 3, S, S)`, or `(N, 10, 3, S, S)` with ten views, and labels `(N,)`.

        Or only the batches of a slice of them. Raises DataError if an image cannot be decoded.
        """
        side, starts = test_side(self.size), range(0, len(self), batch_size)[which]

        def _squares(index: int) -> list[Crop]:
            return [Crop(file, side, side, (0.5, 0.5)) for file in self.files[starts[index] :][:batch_size]]

        decoder = _Decoder(_squares, batch_size, len(starts))
        for index, start in enumerate(starts):
            squares = decoder(index).to(self.device)
            crops = centre(squares, self.size) if views == 1 else ten_crops(squares, self.size)
            yield crops, self.labels[start : start + batch_size].to(self.device)


class ScaleCrops(NamedTuple):
    """Augmentation parameters per image.

    `sides` `(N,)`: the shorter side after resizing, in pixels. `positions` `(N, 2)`: the crop's row and column, as fractions of
    their range. `flips` `(N,)`. `colours` `(N, 3)`: shift along each colour component, in standard deviations.
    """

    sides: Tensor
    positions: Tensor
    flips: Tensor
    colours: Tensor


def draw(source: torch.Generator, num_images: int, size: int) -> ScaleCrops:
    """Draw augmentation parameters; sides are uniform from test_side(size) to 15/7 of `size`, 256 to 480 for 224 pixels."""
    sides = torch.randint(test_side(size), round(size * _MAX_SIDE / _INPUT) + 1, (num_images,), generator=source)
    positions = torch.rand(num_images, 2, generator=source)
    flips = torch.randint(0, 2, (num_images,), generator=source).bool()
    return ScaleCrops(sides, positions, flips, _COLOUR_DEVIATION * torch.randn(num_images, 3, generator=source))


class FolderBatches:
    """`batches(step)` gives images `(N, 3, S, S)` float32 and labels `(N,)`, decoded while earlier steps are computed.

    As with images in memory, a batch is a function of (seed, step), and every epoch is a permutation of all images.
    `mean` `(3, S, S)` and `components` `(3, 3)` are those of `statistics`.
    """

    def __init__(self, train: FolderSet, mean: Tensor, components: Tensor, batch_size: int, seed: int, own: Own = whole) -> None:
        self._train, self._mean, self._components, self._own = train, mean, components, own
        self.order = order = Order(len(train), batch_size, seed)

        def _augmentation(step: int) -> ScaleCrops:
            """The augmentation parameters of a step's images."""
            return draw(generator(seed, "data/augment", step), len(order(step)), train.size)

        def _crops(step: int) -> list[Crop]:
            drawn = _augmentation(step)
            parameters = zip(*(own(rows).tolist() for rows in (order(step), drawn.sides, drawn.positions)), strict=True)
            return [Crop(train.files[index], train.size, side, position) for index, side, position in parameters]

        self.augmentation, self._decoder = _augmentation, _Decoder(_crops, batch_size)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images `(N, 3, S, S)`, augmented, normalised and channels last, and labels `(N,)` of a step. Raises DataError."""
        device, drawn = self._train.device, ScaleCrops(*map(self._own, self.augmentation(step)))
        crops = self._decoder(step).to(device)
        crops = torch.where(drawn.flips.to(device)[:, None, None, None], crops.flip(-1), crops)
        images = normalise(crops, self._mean)
        images += (drawn.colours.to(device) @ self._components)[:, :, None, None]
        return images.contiguous(memory_format=torch.channels_last), self._train.labels[self._own(self.order(step))].to(device)


def find(root: Path, size: int) -> tuple[FolderSet, FolderSet, tuple[str, ...]]:
    """The images in `train` and `val` of a folder, sorted by class and name, and the class names. Raises DataError."""
    (train, classes), (test, test_classes) = (find_part(root, part, size) for part in (TRAIN, TEST))
    if classes != test_classes:
        unmatched = sorted(set(classes) ^ set(test_classes))
        raise DataError(f"{TRAIN} and {TEST} in {root} have different classes, such as {unmatched[0]!r}: {_HINT}.")
    return train, test, classes


def find_part(root: Path, part: str, size: int) -> tuple[FolderSet, tuple[str, ...]]:
    """The images in `train` or `val` in the order of torchvision's ImageFolder, and the class names.

    Files and folders whose names begin with a dot are ignored. Raises DataError.
    """
    from torchvision.datasets import folder as torchvision_folder  # noqa: PLC0415  # slow to import and needs much memory

    directory = root / part
    if not directory.is_dir():
        raise DataError(f"There is no folder {part} in {root}: {_HINT}.")
    start = _prefix_length(directory)

    def _is_image(path: str) -> bool:
        hidden = any(name.startswith(".") for name in path[start:].split(os.sep))
        return not hidden and torchvision_folder.has_file_allowed_extension(path, torchvision_folder.IMG_EXTENSIONS)

    try:
        folders = [entry.name for entry in os.scandir(directory) if entry.is_dir() and not entry.name.startswith(".")]
        classes = tuple(sorted(folders))
        if not classes:
            raise DataError(f"{directory} has no class folders: {_HINT}.")
        labels = {name: label for label, name in enumerate(classes)}
        samples = torchvision_folder.make_dataset(directory, labels, is_valid_file=_is_image)
    except OSError as error:  # a class without images is a FileNotFoundError
        raise DataError(f"{directory} is not a folder of images ({error}): {_HINT}.") from error
    _check_no_duplicate_folders(file for file, _ in samples)
    return FolderSet(tuple(file for file, _ in samples), torch.tensor([label for _, label in samples]), size), classes


def _prefix_length(directory: Path) -> int:
    """The number of characters to strip from a file's path to make it relative to its directory."""
    return len(os.path.join(directory, ""))


def _check_no_duplicate_folders(files: Iterable[str]) -> None:
    """Raise DataError if symbolic links lead to the same folder twice, which would duplicate its images."""
    folders: dict[str, str] = {}
    for folder in sorted({os.path.dirname(file) for file in files}):
        other = folders.setdefault(os.path.realpath(folder), folder)
        if other != folder:
            raise DataError(f"{other} and {folder} are the same folder through a symbolic link: remove the link.")


def digests(root: Path, train: FolderSet, test: FolderSet) -> Digests:
    """Digests that identify the images of a folder. Raises DataError if a file no longer exists."""
    names, files = hashlib.sha256(), hashlib.sha256()
    for part, images in ((TRAIN, train), (TEST, test)):
        start = _prefix_length(root / part)
        for file in images.files:
            try:
                status = os.stat(file)
            except OSError as error:
                raise DataError(f"{file} cannot be read ({error.strerror}): restore it.") from error
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{file} is not a regular file: remove it.")  # reading a pipe would never end
            name = f"{part}/{file[start:]}\0".encode("utf-8", "surrogateescape")
            names.update(name)
            files.update(name + f"{status.st_size}\n".encode())
    return Digests(names.hexdigest(), files.hexdigest())


def statistics(train: FolderSet, seed: int) -> tuple[Tensor, Tensor]:
    """The per-pixel mean `(3, S, S)` in 0..1 and the colour components `(3, 3)` of 1,000 training images chosen by the seed.

    Each row is a principal direction of the pixel colours, scaled by the standard deviation along it, with the sign that makes
    its largest entry positive. Raises DataError.
    """
    order = torch.randperm(len(train), generator=generator(seed, "data/statistics"))[:STATISTICS_IMAGES]
    total, colours, products = torch.zeros(3, train.size, train.size), torch.zeros(3).double(), torch.zeros(3, 3).double()
    for images, _ in replace(train.pick(order), device=_CPU).chunks(100):
        pixels = images.transpose(0, 1).flatten(1).double() / 255
        total += images.sum(0)  # integers, so the sum is exact in any order
        colours += pixels.sum(1)
        products += pixels @ pixels.T
    num_pixels = len(order) * train.size**2
    covariance = products / num_pixels - torch.outer(colours, colours) / num_pixels**2
    variances, directions = torch.linalg.eigh(covariance)
    directions *= directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()  # otherwise it depends on the library
    return total / (255 * len(order)), (directions * variances.clamp(min=0).sqrt()).T.float()


def test_side(size: int) -> int:
    """The shorter side after resizing for testing, in pixels: 256 for an input of 224."""
    return round(size * _TEST_SIDE / _INPUT)


def centre(squares: Tensor, size: int) -> Tensor:
    """The centre crop `(..., size, size)` of squares `(..., T, T)`."""
    start = (squares.shape[-1] - size) // 2
    return squares[..., start : start + size, start : start + size]


def ten_crops(squares: Tensor, size: int) -> Tensor:
    """The four corners and the centre of squares `(N, 3, T, T)`, then their flips: `(N, 10, 3, size, size)`."""
    corners = [
        squares[..., rows, columns] for rows, columns in itertools.product((slice(None, size), slice(-size, None)), repeat=2)
    ]
    five = torch.stack([*corners, centre(squares, size)], dim=1)
    return torch.cat([five, five.flip(-1)], dim=1)


class Crop(NamedTuple):
    """A crop of `size` x `size` pixels from an image whose shorter side is resized to `side` pixels.

    `position` is the crop's row and column, as fractions of their range.
    """

    file: str
    size: int
    side: int
    position: Sequence[float]


def decode(crop: Crop) -> Tensor:
    """The pixels of a crop, uint8 `(3, size, size)`; only the cropped part of the image is resized. Raises DataError."""
    file, size, side, position = crop
    try:
        with Image.open(file, formats=_FORMATS) as opened:
            image = _rgb(opened)
    except Exception as error:  # Pillow raises almost anything for damaged or foreign files
        raise DataError(f"{file} cannot be read as an image ({error}): replace it with a readable image.") from error
    scale = side / min(image.size)
    width, height = (max(side, round(scale * length)) for length in image.size)
    top, left = (
        min(int(fraction * (length - size + 1)), length - size)
        for fraction, length in zip(position, (height, width), strict=True)
    )
    x_scale, y_scale = image.width / width, image.height / height
    box = (left * x_scale, top * y_scale, (left + size) * x_scale, (top + size) * y_scale)
    pixels = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8).view(size, size, 3).permute(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    """The image converted to 8-bit RGB. Raises ValueError if the range of its pixel values is unknown."""
    if image.mode.startswith("I;16"):
        high_bytes = image.tobytes()[0 if image.mode == "I;16B" else 1 :: 2]
        return Image.frombytes("L", image.size, high_bytes).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its mode {image.mode} has no defined range of pixel values")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # same result as a direct conversion, of which Pillow warns
    return image.convert("RGB")


class _Decoder:
    """Decodes batches of crops in threads: the requested batch and, ahead of time, the batches after it.

    There are as many threads as torch has, as set by `--threads`; enough batches of about `batch_size` crops are decoded ahead to
    keep them busy. Threads suffice because Pillow releases the GIL; unlike processes, they need no copies, and their exceptions
    reach the caller unchanged.
    """

    def __init__(self, crops: Callable[[int], list[Crop]], batch_size: int, end: int | None = None) -> None:
        threads = min(_MAX_THREADS, torch.get_num_threads())
        self._crops, self._end = crops, end
        self._batches_ahead = max(_MIN_BATCHES_AHEAD, math.ceil(_CROPS_AHEAD * threads / batch_size))
        self._pool = ThreadPoolExecutor(threads, "decode")
        self._pending: dict[int, list[Future[Tensor]]] = {}
        weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)

    def __call__(self, index: int) -> Tensor:
        """The crops of the batch with this index, uint8 `(N, 3, size, size)`. Raises DataError."""
        wanted = range(index, index + 1 + self._batches_ahead)
        for stale in self._pending.keys() - set(wanted):
            for future in self._pending.pop(stale):
                future.cancel()
        for wanted_index in wanted:
            if wanted_index not in self._pending and (self._end is None or wanted_index < self._end):
                self._pending[wanted_index] = [self._pool.submit(decode, crop) for crop in self._crops(wanted_index)]
        return torch.stack([future.result() for future in self._pending.pop(index)])
