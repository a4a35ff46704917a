"""One structure for the boxes of every format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.boxes.shapes import Shapes
from datasets.errors import InputError
from datasets.findings import Finding
from datasets.headers import probe_file
from datasets.images import Image, decode_image, probe_image, read_image
from datasets.names import length_of
from datasets.reading_order import ReadTogether
from datasets.splitting import held_out, path_shares
from datasets.types import ClassMap, DetectionTarget


@dataclass(frozen=True)
class DetectionData:
    """All annotations of one split in flat arrays.

    A million small Python objects would be copied into every loader process, one by one, as
    their reference counts are touched; arrays are shared.

    Attributes:
        format: Its name, as ``--format`` takes it.
        root: Folder that the user named.
        files: (N,) image paths, or names of what lies in archives.
        image_ids: (N,) int64, the data set's own where it has such numbers.
        sizes: (N, 2) int64 (width, height) as annotated.
        offsets: (N + 1,) int64; the boxes of image i are rows offsets[i]:offsets[i + 1].
        boxes: (M, 4) float64 x1 y1 x2 y2 in pixels, exactly as annotated.
        labels: (M,) int64 from 1.
        iscrowd: (M,) bool; also VOC's "difficult", which no metric should count.
        areas: (M,) float64 pixels; of the segment where the format has one.
        annotation_ids: (M,) int64.
        classes: Names and original ids.
        upright: Boxes are drawn on the image as its EXIF tag turns it.
        left_out: Images that the data doctor dropped.
        told: What the reader passed over or doubts, for the data doctor.
        own_ids: The data set's ids of images, by ``image_ids``, where those are numbered anew
            because some are texts or too large.
        evidence: What the format was recognised by.
        shapes: What annotations have besides boxes, where it is kept.
    """

    format: str
    root: Path
    files: NDArray[np.str_]
    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    iscrowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    annotation_ids: NDArray[np.int64]
    classes: ClassMap
    upright: bool
    left_out: int = 0
    told: tuple[Finding, ...] = ()
    own_ids: Mapping[int, int | str] = field(default_factory=dict)
    evidence: str = ""
    shapes: Shapes | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    @property
    def owners(self) -> NDArray[np.int64]:
        """(M,) image index of each box."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def target(self, index: int) -> DetectionTarget:
        """Ground truth of one image, boxes in original pixels."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return {
            "boxes": self.boxes[rows].astype(np.float32),
            "labels": self.labels[rows],
            "iscrowd": self.iscrowd[rows],
        }

    @property
    def in_files(self) -> bool:
        """Whether each image is a file of its own, rather than a piece of an archive."""
        return True

    @property
    def read_together(self) -> ReadTogether | None:
        """Which images are read at once; None where each is read by itself."""
        return None

    def stored(self, index: int) -> bytes | None:
        """Bytes of an image that lies in an archive; None where it is a file of its own."""
        del index
        return None

    def length(self, index: int) -> int | None:
        """Bytes that an image takes; None if it is not there."""
        return length_of(str(self.files[index]))

    def content(self, index: int) -> bytes:
        """An image's file as it is, which must be there."""
        stored = self.stored(index)
        return Path(str(self.files[index])).read_bytes() if stored is None else stored

    def probe(self, index: int) -> tuple[int, int, bool]:
        """As :func:`probe_image`, of one image; headers of files are remembered."""
        stored = self.stored(index)
        path = str(self.files[index])
        return probe_file(path)[:3] if stored is None else probe_image(path, stored)

    def check_size(self, index: int) -> None:
        """Check that an image's header can be read, and states the annotated size.

        Raises:
            InputError: If not.
        """
        width, height, sideways = self.probe(index)
        stored = (width, height)
        fits = {stored, stored[::-1]} if sideways else {stored}
        if self.upright:
            fits = {stored[::-1] if sideways else stored}
        wanted = tuple(self.sizes[index].tolist())
        if wanted not in fits:
            raise InputError(f"{width}x{height} pixels, annotated as {wanted}")

    def image(self, index: int) -> Image:
        """Image of one image, turned so that its boxes fit.

        Raises:
            InputError: If it cannot be read, or its size is not the annotated one.
        """
        path, (width, height) = str(self.files[index]), self.sizes[index]
        stored = self.stored(index)

        def read(*, upright: bool) -> Image:
            if stored is None:
                return read_image(path, upright=upright)
            return decode_image(stored, path, upright=upright)

        picture = read(upright=self.upright)
        if picture.shape[:2] == (width, height) and width != height:
            picture = read(upright=not self.upright)
        if picture.shape[:2] != (height, width):
            raise InputError(
                f"{path}: the image has {picture.shape[1]}x{picture.shape[0]} pixels, but its "
                f"boxes were drawn on {width}x{height}"
            )
        return picture

    def select(self, images: NDArray[np.bool_], boxes: NDArray[np.bool_]) -> DetectionData:
        """Keep some images and, of their boxes, some: masks (N,) and (M,)."""
        boxes = boxes & images[self.owners]
        counts = np.bincount(self.owners[boxes], minlength=len(self))[images]
        return replace(
            self,
            files=self.files[images],
            image_ids=self.image_ids[images],
            sizes=self.sizes[images],
            offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            boxes=self.boxes[boxes],
            labels=self.labels[boxes],
            iscrowd=self.iscrowd[boxes],
            areas=self.areas[boxes],
            annotation_ids=self.annotation_ids[boxes],
            shapes=self.shapes and self.shapes.select(boxes),
        )


def assemble(
    *,
    format: str,
    root: Path,
    files: list[str],
    sizes: list[tuple[int, int]],
    boxes: list[NDArray[np.float64]],
    labels: list[list[int]],
    crowd: list[list[bool]],
    classes: ClassMap,
    upright: bool,
    told: Sequence[Finding] = (),
) -> DetectionData:
    """Build the flat structure from per-image lists; images and boxes are numbered from 1."""
    counts = np.array([len(one) for one in labels], dtype=np.int64)
    flat = np.concatenate([*boxes, np.zeros((0, 4))])
    with np.errstate(invalid="ignore", over="ignore"):  # The doctor drops what is not finite.
        areas = np.prod(flat[:, 2:] - flat[:, :2], axis=1)
    return DetectionData(
        format=format,
        root=root,
        files=np.array(files, dtype=np.str_),
        image_ids=np.arange(1, len(files) + 1),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        boxes=flat,
        labels=np.array([k for one in labels for k in one], dtype=np.int64),
        iscrowd=np.array([c for one in crowd for c in one], dtype=np.bool_),
        areas=areas,
        annotation_ids=np.arange(1, len(flat) + 1),
        classes=classes,
        upright=upright,
        told=tuple(told),
    )


def hold_out(whole: DetectionData, split: str) -> DetectionData:
    """Part a set by path, so that the same image always falls on the same side.

    Both sides get an image at least.

    Raises:
        InputError: If there are fewer than two images.
    """
    if len(whole) < 2:
        raise InputError(f"{whole.root}: {len(whole)} images cannot be split in two")
    held = held_out(path_shares(whole.files.tolist(), whole.root))
    return whole.select(held if split == "val" else ~held, np.ones(len(whole.boxes), np.bool_))
