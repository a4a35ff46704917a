"""One structure for the images and labels of every classification format."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.images import (
    Image,
    crop_to_box,
    is_picture,
    read_image,
    read_orientation,
    turn_upright,
)
from datasets.ledger import note_dropped, note_read
from datasets.names import length_of, shown
from datasets.reading_order import ReadTogether
from datasets.splitting import held_out, path_shares
from datasets.types import ClassMap, PhotoFiles
from datasets.written_pictures import suffix_of

# Share of a fine-grained image's box that is added on each side of it.
BOX_MARGIN = 0.1


@dataclass(frozen=True)
class LabelledData(PhotoFiles):
    """All images of one split in flat arrays, which loader processes share.

    Attributes:
        labels: (N,) int64 column of each image's class, from 0.
        classes: Names and original ids, in the order of the columns.
        boxes: (N, 4) float64 x1 y1 x2 y2 in stored pixels, before any turning, of what each
            image is about, or None.
        box_margin: Images are cut to the squares around their boxes, and this share of them more;
            None leaves them whole.
        left_out: Images that the data doctor dropped.
    """

    labels: NDArray[np.int64]
    classes: ClassMap
    boxes: NDArray[np.float64] | None = None
    left_out: int = 0
    box_margin: float | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C,) images per class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def read_together(self) -> ReadTogether | None:
        """Which images are read at once; None where each is read by itself."""
        return None

    def image(self, index: int) -> Image:
        """As :meth:`PhotoFiles.image`, cut to its box where images are."""
        if self.box_margin is None or self.boxes is None:
            return super().image(index)
        file = str(self.files[index])
        # Boxes are drawn on the stored pixels.
        cut = crop_to_box(read_image(file, upright=False), self.boxes[index], self.box_margin)
        return turn_upright(cut, read_orientation(file))

    def length(self, index: int) -> int | None:
        """Bytes that an image takes; None if it is not there."""
        return length_of(str(self.files[index]))

    def content(self, index: int) -> tuple[bytes, str]:
        """An image's file as it is, and an image's suffix in small letters.

        Raises:
            InputError: If it cannot be read; it names the file.
        """
        file = Path(str(self.files[index]))
        try:
            suffix = file.suffix.lower() if is_picture(file.name) else suffix_of(file)
            return file.read_bytes(), suffix
        except OSError as error:
            raise InputError(f"{shown(file)}: cannot be read ({error.strerror})") from error

    def select(self, keep: NDArray[np.bool_]) -> LabelledData:
        """The images of a mask (N,); the classes stay."""
        boxes = None if self.boxes is None else self.boxes[keep]
        return replace(self, files=self.files[keep], labels=self.labels[keep], boxes=boxes)


@dataclass(frozen=True)
class Part:
    """One split of a set, as the reader of its format finds it.

    Attributes:
        format: Name of the format.
        photos: Gives each image's path, and what the format calls its class (a folder, a wnid, a
            name); asked only when the split is read.
        order: (C,) those keys in the order of the columns: those of the training part.
        classes: (C,) names and ids of the same.
        where: File or folder of the keys, for messages.
        annotations: Files that describe the images.
        boxes: Gives what :class:`LabelledData` holds as boxes.
        home: Folder of the set, where it lies below the one that the user named.
    """

    format: str
    photos: Callable[[], Iterable[tuple[str, str]]]
    order: Sequence[str]
    classes: ClassMap
    where: Path
    annotations: Sequence[Path] = ()
    boxes: Callable[[], NDArray[np.float64]] | None = None
    home: Path | None = None

    def read(self, root: Path) -> LabelledData:
        """Put the images into the flat structure.

        Args:
            root: Folder that the user named, or a list in it.

        Raises:
            InputError: If a key is not in ``order``; it names the place and the nearest key. Or
                if a file of boxes is damaged.
        """
        root = self.home or root
        for told in self.annotations:
            note_read(told)
        column = {key: k for k, key in enumerate(self.order)}
        files, labels = list[str](), list[int]()
        for file, key in self.photos():
            if key not in column:
                hint = nearest(key, self.order)
                raise InputError(f"{self.where}: class {key!r} is not one of the set's{hint}")
            files.append(file)
            labels.append(column[key])
        return LabelledData(
            format=self.format,
            root=root if root.is_dir() else root.parent,
            files=np.array(files, dtype=np.str_),
            labels=np.array(labels, dtype=np.int64),
            classes=self.classes,
            boxes=None if self.boxes is None else self.boxes(),
        )


def name_classes(keys: Sequence[str], names: Mapping[str, str] | None = None) -> ClassMap:
    """Names and ids for class keys in column order.

    Ids are the numbers of WordNet ids (n02085620: 2085620) or of keys that are numbers, else
    they run from 0. A name that two classes share ("crane" in ImageNet) gets its key behind it.

    Args:
        keys: Folder names, wnids or labels.
        names: A better name of some keys.
    """
    called = [shown((names or {}).get(key, key)) for key in keys]
    seen = Counter(called)
    unique = [f"{n} ({shown(k)})" if seen[n] > 1 else n for k, n in zip(keys, called, strict=True)]
    numbers = [_number(key) for key in keys]
    own = [number for number in numbers if number is not None]
    ids = own if len(own) == len(set(own)) == len(keys) else list(range(len(keys)))
    return ClassMap(tuple(ids), tuple(unique))


def _number(key: str) -> int | None:
    found = re.fullmatch(r"n(\d{8})(-.*)?|(\d{1,9})", key)
    return int(found[1] or found[3]) if found else None


def nearest(name: str, choices: Sequence[str]) -> str:
    """The end of an error message: the most alike of many choices, or all of few."""
    alike = difflib.get_close_matches(name, choices, n=1)
    if alike:
        return f"; the nearest is {alike[0]!r}"
    return f"; they are {', '.join(choices[:12])}{', ...' if len(choices) > 12 else ''}"


def _column(data: LabelledData, word: str) -> int:
    """The class that a word names; as :func:`choose_classes`."""
    ids, names = data.classes.ids, data.classes.names
    number = _number(word)
    by_id = ids.index(number) if number is not None and number in ids else None
    by_name = names.index(word) if word in names else None
    found = {column for column in (by_name, by_id) if column is not None}
    if not found:
        hint = nearest(word, names)
        raise InputError(f"{data.root}: no class has the id or name {word!r}{hint}")
    if by_name is not None and by_id is not None and by_name != by_id:
        raise InputError(
            f"{data.root}: {word!r} is the name of one class (id {ids[by_name]}) and the id of "
            f"another ({names[by_id]!r}); rename one of them"
        )
    return found.pop()


def choose_classes(data: LabelledData, wanted: Sequence[str]) -> LabelledData:
    """Some classes of a set, in the order wanted.

    Args:
        data: Images of all classes.
        wanted: Names, ids or WordNet ids (n02085620), looked up in this order.

    Raises:
        InputError: If one is unknown (with the nearest name), stands twice, or is the name of one
            class and the id of another; or none is wanted.
    """
    columns: list[int] = []
    for word in wanted:
        column = _column(data, word)
        if column in columns:
            raise InputError(f"{data.root}: class {word!r} is wanted twice")
        columns.append(column)
    if not columns:
        raise InputError(f"{data.root}: the list of wanted classes is empty")
    new = np.full(len(data.classes), -1, dtype=np.int64)
    new[columns] = np.arange(len(columns))
    keep = new[data.labels] >= 0
    note_dropped(data.files[~keep].tolist(), "images of classes that are not wanted")
    chosen = data.select(keep)
    ids, names = data.classes.ids, data.classes.names
    classes = ClassMap(tuple(ids[k] for k in columns), tuple(names[k] for k in columns))
    return replace(chosen, labels=new[chosen.labels], classes=classes)


def mislabel(
    data: LabelledData, share: float, seed: int
) -> tuple[LabelledData, NDArray[np.bool_]]:
    """Give some images a wrong label on purpose, each that of any other class.

    Args:
        data: Images of two or more classes.
        share: Share of the images.
        seed: Chooses images and labels.

    Returns:
        The set, and the mask (N,) of the images whose labels are wrong.
    """
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(data), dtype=np.bool_)
    wrong[rng.permutation(len(data))[: round(share * len(data))]] = True
    others = data.labels + rng.integers(1, len(data.classes), len(data))
    labels = np.where(wrong, others % len(data.classes), data.labels)
    return replace(data, labels=labels), wrong


def cut_to_boxes(data: LabelledData, margin: float = BOX_MARGIN) -> LabelledData:
    """A set whose images are cut to their boxes, and to a share of the box's sides around them.

    Raises:
        InputError: If the set has no boxes.
    """
    if data.boxes is None:
        raise InputError(f"--boxes: {data.root}: format {data.format} has no boxes to cut to")
    return replace(data, box_margin=margin)


def hold_out(whole: LabelledData, split: str) -> LabelledData:
    """Part a set by path, a fifth of each class, so that an image always falls on one side.

    A class with one image gives it to training.

    Raises:
        InputError: If no class has two images.
    """
    shares = path_shares(whole.files.tolist(), whole.root)
    held = np.zeros(len(whole), dtype=np.bool_)
    for rows in np.split(np.argsort(whole.labels, kind="stable"), np.cumsum(whole.counts)[:-1]):
        held[rows] = held_out(shares[rows], least=0)
    if not held.any():
        raise InputError(
            f"{whole.root}: no class has two images, or as many as --folds need, so none can be "
            "held out to validate on; part them into train/ and val/"
        )
    return whole.select(held if split == "val" else ~held)
