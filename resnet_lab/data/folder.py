"""Images in a folder, too many to hold: found once, decoded by threads ahead of their use, augmented as for ImageNet.

He et al. 2015, Sec. 3.4: the image is resized so that its shorter side is drawn from 256 to 480, a 224x224 crop is drawn from it
or its flip, the per-pixel mean is subtracted, and the colour is shifted along the principal components of the pixels' colours
(Krizhevsky et al. 2012, Sec. 4.1). For testing the shorter side is 256, and of the square in the middle the centre is seen, or
ten crops: four corners and the centre, and their flips. For another input size than 224 all sides are in proportion.
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

from resnet_lab.data.batches import Order
from resnet_lab.data.images import Images, normalise
from resnet_lab.errors import DataError
from resnet_lab.record.digests import Digests
from resnet_lab.rng import generator

TRAIN, TEST = "train", "val"
STATISTICS_IMAGES = 1_000
_COLOUR_DEVIATION = 0.1
_INPUT, _TEST_SIDE, _MAX_SIDE = 224, 256, 480  # the paper's, in pixels
_LEAST_AHEAD = 2
_CROPS_AHEAD = 4  # for each thread
_MAX_THREADS = 16
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # whatever a name says: others, such as EPS, start a program
_CPU = torch.device("cpu")
_HOW = f"a folder of images has {TRAIN}/CLASS/IMAGE.jpg and {TEST}/CLASS/IMAGE.jpg; --data-dir names it"


@dataclass(frozen=True)
class FolderSet(Images):
    """Image files and their labels `(N,)` int64; the images are decoded when they are asked for, and go to `device`.

    `size` is the side of what a network sees, in pixels.
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
        """The same, to be decoded for a device."""
        return replace(self, device=device)

    def chunks(self, batch_size: int, views: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order, uint8 `(N, 3, S, S)`, and labels `(N,)`; with ten views `(N, 10, 3, S, S)`. Raises DataError."""
        side, starts = test_side(self.size), range(0, len(self), batch_size)

        def _squares(index: int) -> list[_Crop]:
            return [_Crop(file, side, side, (0.5, 0.5)) for file in self.files[starts[index] :][:batch_size]]

        ahead = _Ahead(_squares, batch_size, len(starts))
        for index, start in enumerate(starts):
            squares = ahead(index).to(self.device)
            seen = centre(squares, self.size) if views == 1 else ten_crops(squares, self.size)
            yield seen, self.labels[start : start + batch_size].to(self.device)


class ScaleCrops(NamedTuple):
    """Per image: the shorter side it is resized to `(N,)`, where the crop is as fractions of the free way `(N, 2)` (row, column),
    whether it is flipped `(N,)`, and how far its colour moves along each component, in their deviations `(N, 3)`.
    """

    sides: Tensor
    places: Tensor
    flips: Tensor
    colours: Tensor


def draw(source: torch.Generator, num_images: int, size: int) -> ScaleCrops:
    """Each side from test_side(size) to 15/7 of `size` with equal probability, for 224 pixels 256 to 480."""
    sides = torch.randint(test_side(size), round(size * _MAX_SIDE / _INPUT) + 1, (num_images,), generator=source)
    places = torch.rand(num_images, 2, generator=source)
    flips = torch.randint(0, 2, (num_images,), generator=source).bool()
    return ScaleCrops(sides, places, flips, _COLOUR_DEVIATION * torch.randn(num_images, 3, generator=source))


class FolderBatches:
    """`batches(step)` gives images `(N, 3, S, S)` float32 and labels `(N,)`, decoded while the steps before are computed.

    As with images in memory, a batch is a function of (seed, step), and every epoch is a permutation of all images.
    """

    def __init__(self, train: FolderSet, mean: Tensor, components: Tensor, batch_size: int, seed: int) -> None:
        self._train, self._mean, self._components = train, mean, components
        self.order = order = Order(len(train), batch_size, seed)

        def _drawn(step: int) -> ScaleCrops:
            return draw(generator(seed, "data/augment", step), len(order(step)), train.size)

        def _crops(step: int) -> list[_Crop]:
            drawn = _drawn(step)
            wanted = zip(order(step).tolist(), drawn.sides.tolist(), drawn.places.tolist(), strict=True)
            return [_Crop(train.files[index], train.size, side, place) for index, side, place in wanted]

        self._drawn, self._ahead = _drawn, _Ahead(_crops, batch_size)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images `(N, 3, S, S)`, augmented and normalised, channels last, and labels of a step. Raises DataError."""
        device, drawn = self._train.device, self._drawn(step)
        crops = self._ahead(step).to(device)
        crops = torch.where(drawn.flips.to(device)[:, None, None, None], crops.flip(-1), crops)
        images = normalise(crops, self._mean)
        images += (drawn.colours.to(device) @ self._components)[:, :, None, None]
        return images.contiguous(memory_format=torch.channels_last), self._train.labels[self.order(step)].to(device)


def find(root: Path, size: int) -> tuple[FolderSet, FolderSet, tuple[str, ...]]:
    """The images in `train` and `val` of a folder, sorted by class and name, and the names of the classes. Raises DataError."""
    (train, classes), (test, others) = (find_part(root, part, size) for part in (TRAIN, TEST))
    if classes != others:
        odd = sorted(set(classes) ^ set(others))
        raise DataError(f"{TRAIN} and {TEST} in {root} have different classes, such as {odd[0]!r}: {_HOW}.")
    return train, test, classes


def find_part(root: Path, part: str, size: int) -> tuple[FolderSet, tuple[str, ...]]:
    """The images in `train` or in `val`, as torchvision's ImageFolder has them, and the classes; names with a dot are hidden.

    Raises DataError.
    """
    from torchvision.datasets import folder as theirs  # noqa: PLC0415  # torchvision takes long to import, and much memory

    place = root / part
    if not place.is_dir():
        raise DataError(f"There is no folder {part} in {root}: {_HOW}.")
    start = _prefix(place)

    def _is_image(path: str) -> bool:
        hidden = any(name.startswith(".") for name in path[start:].split(os.sep))
        return not hidden and theirs.has_file_allowed_extension(path, theirs.IMG_EXTENSIONS)

    try:
        classes = tuple(sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith(".")))
        if not classes:
            raise DataError(f"{place} has no folders in it, one for each class: {_HOW}.")
        found = theirs.make_dataset(place, {name: label for label, name in enumerate(classes)}, is_valid_file=_is_image)
    except OSError as error:  # a class without images is a FileNotFoundError
        raise DataError(f"{place} is no folder of images ({error}): {_HOW}.") from error
    _refuse_folders_seen_twice(file for file, _ in found)
    return FolderSet(tuple(file for file, _ in found), torch.tensor([label for _, label in found]), size), classes


def _prefix(place: Path) -> int:
    """How many characters of a found file's path are its folder's."""
    return len(os.path.join(place, ""))


def _refuse_folders_seen_twice(files: Iterable[str]) -> None:
    """Raise DataError where links lead to the same folder, whose images would count as more than they are."""
    seen: dict[str, str] = {}
    for folder in sorted({os.path.dirname(file) for file in files}):
        other = seen.setdefault(os.path.realpath(folder), folder)
        if other != folder:
            raise DataError(f"{other} and {folder} are the same folder, through a link: remove the link.")


def digests(root: Path, train: FolderSet, test: FolderSet) -> Digests:
    """What tells the images of a folder from others. Raises DataError where a file is gone."""
    names, files = hashlib.sha256(), hashlib.sha256()
    for part, images in ((TRAIN, train), (TEST, test)):
        start = _prefix(root / part)
        for file in images.files:
            try:
                there = os.stat(file)
            except OSError as error:
                raise DataError(f"{file} cannot be read ({error.strerror}): restore it.") from error
            if not stat.S_ISREG(there.st_mode):
                raise DataError(f"{file} is no regular file: remove it.")  # a pipe would be read for ever
            name = f"{part}/{file[start:]}\0".encode("utf-8", "surrogateescape")
            names.update(name)
            files.update(name + f"{there.st_size}\n".encode())
    return Digests(names.hexdigest(), files.hexdigest())


def statistics(train: FolderSet, seed: int) -> tuple[Tensor, Tensor]:
    """The per-pixel mean `(3, S, S)` in 0..1 and the colour components `(3, 3)`, of 1,000 training images drawn from the seed.

    A component is a row: a principal direction of the pixels' colours, as long as their standard deviation along it, its largest
    number positive.
    """
    order = torch.randperm(len(train), generator=generator(seed, "data/statistics"))[:STATISTICS_IMAGES]
    total, colours, products = torch.zeros(3, train.size, train.size), torch.zeros(3).double(), torch.zeros(3, 3).double()
    for images, _ in replace(train.pick(order), device=_CPU).chunks(100):
        pixels = images.transpose(0, 1).flatten(1).double() / 255
        total += images.sum(0)  # whole numbers, so exact whatever the order
        colours += pixels.sum(1)
        products += pixels @ pixels.T
    num_pixels = len(order) * train.size**2
    covariance = products / num_pixels - torch.outer(colours, colours) / num_pixels**2
    variances, directions = torch.linalg.eigh(covariance)
    directions *= directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()  # else the library chooses it
    return total / (255 * len(order)), (directions * variances.clamp(min=0).sqrt()).T.float()


def test_side(size: int) -> int:
    """What the shorter side is resized to for testing: 256 pixels for an input of 224."""
    return round(size * _TEST_SIDE / _INPUT)


def centre(squares: Tensor, size: int) -> Tensor:
    """The middle of squares `(..., T, T)`: `(..., size, size)`."""
    start = (squares.shape[-1] - size) // 2
    return squares[..., start : start + size, start : start + size]


def ten_crops(squares: Tensor, size: int) -> Tensor:
    """Corners and centre of squares `(N, 3, T, T)`, then their flips: `(N, 10, 3, size, size)`."""
    corners = [
        squares[..., rows, columns] for rows, columns in itertools.product((slice(None, size), slice(-size, None)), repeat=2)
    ]
    five = torch.stack([*corners, centre(squares, size)], dim=1)
    return torch.cat([five, five.flip(-1)], dim=1)


class _Crop(NamedTuple):
    """A square of `size` pixels of an image whose shorter side is resized to `side`.

    `place` says where it begins, as fractions (row, column) of the way that is free.
    """

    file: str
    size: int
    side: int
    place: Sequence[float]


def decode(crop: _Crop) -> Tensor:
    """The pixels of a crop, uint8 `(3, size, size)`, of which alone the image is resized. Raises DataError."""
    file, size, side, place = crop
    try:
        with Image.open(file, formats=_FORMATS) as opened:
            image = _rgb(opened)
    except Exception as error:  # whatever damaged or foreign bytes lead Pillow to
        raise DataError(f"{file} cannot be read as an image ({error}): put one that can in its place.") from error
    scale = side / min(image.size)
    width, height = (max(side, round(scale * length)) for length in image.size)
    top, left = (min(int(part * (length - size + 1)), length - size) for part, length in zip(place, (height, width), strict=True))
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    pixels = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8).view(size, size, 3).permute(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB. Raises ValueError where its numbers have no such meaning."""
    if image.mode.startswith("I;16"):
        high_bytes = image.tobytes()[0 if image.mode == "I;16B" else 1 :: 2]
        return Image.frombytes("L", image.size, high_bytes).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose black and white are not known")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # in one step Pillow warns, and does the same
    return image.convert("RGB")


class _Ahead:
    """Crops decoded by threads: those of an index when it is asked for, and those of the next indices ahead of it.

    As many threads as torch has, so as many as `--threads` says; an index has about `number` crops, and so many indices are
    begun that no thread waits. Threads and not processes: Pillow works without Python's lock, errors come as they are, and
    nothing is copied.
    """

    def __init__(self, crops: Callable[[int], list[_Crop]], number: int, end: int | None = None) -> None:
        threads = min(_MAX_THREADS, torch.get_num_threads())
        self._crops, self._end = crops, end
        self._steps = max(_LEAST_AHEAD, math.ceil(_CROPS_AHEAD * threads / number))
        self._pool = ThreadPoolExecutor(threads, "decode")
        self._begun: dict[int, list[Future[Tensor]]] = {}
        weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)

    def __call__(self, index: int) -> Tensor:
        """The crops of this index, uint8 `(N, 3, size, size)`. Raises DataError."""
        wanted = range(index, index + 1 + self._steps)
        for other in self._begun.keys() - set(wanted):
            for future in self._begun.pop(other):
                future.cancel()
        for each in wanted:
            if each not in self._begun and (self._end is None or each < self._end):
                self._begun[each] = [self._pool.submit(decode, crop) for crop in self._crops(each)]
        return torch.stack([future.result() for future in self._begun.pop(index)])
