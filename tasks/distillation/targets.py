"""A store of a teacher's answers to every image of every epoch.

For exclusive classes it keeps the most likely ones; for attributes or an embedding, all values.

The augmentation of an image is a function of (seed, epoch, index), so an answer that is stored
under (epoch, index) belongs to exactly the image that a student will see (as in Shen and Xing,
arXiv 2112.01528). The store's header states what the answers depend on, and a run that differs in
any of it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from backbone.typed_fields import refuse_other_types
from datasets.errors import InputError
from tasks.distillation.spec import HEADER_NAME
from tasks.distillation.teacher import Fingerprint, is_same
from tasks.weights.atomic_write import replacing, write_text

# Contents of a row: for exclusive classes the most likely ones and the rest; otherwise all values.
Answers = Literal["classes", "values"]
# Number of images per file; storing continues after the last complete one.
BLOCK = 65_536
_FORMAT = 1
_MOST_CLASSES = 2**16
_LEAST = -65_000.0  # Half precision ends a little below.
# Name of each header field in messages.
_NAMES = {
    "size": "--size",
    "augment": "--augment",
    "interpolation": "--interpolation",
    "seed": "--seed",
    "data": "training data",
    "photos": "training images",
    "classes": "classes",
    "top_k": "--top-k",
    "answers": "kind of answer",
}
_NO_COLUMNS = np.zeros(0, np.uint16)
# Levels of 255 by which the same cells may differ between two machines' decoders.
_LEVELS = 2.0


@dataclass(frozen=True)
class TargetHeader:
    """All that stored answers depend on.

    Attributes:
        teacher: Name of the teacher; None if a run has only the store.
        fingerprint: Fingerprint of the teacher; None with ``teacher``.
        size: Side of the images in pixels.
        augment: Augmentation of the images.
        interpolation: Interpolation of the augmentation.
        seed: Seed of the augmentation.
        data: Digest of file names and labels.
        photos: Number of images.
        classes: Number of outputs of the teacher.
        top_k: Number of outputs that are stored per image.
        looks: Result of :func:`look_of` for the first images of epoch 0: another version of the
            augmentation, or of its library, produces other images from the same seed.
        answers: Kind of stored answers; for ``values`` there is no ``top_k``.
    """

    teacher: str | None
    fingerprint: Fingerprint | None
    size: int
    augment: str
    interpolation: str
    seed: int
    data: str
    photos: int
    classes: int
    top_k: int
    looks: list[float]
    answers: Answers = "classes"


class TargetStore:
    """A teacher's answers, by epoch and index of an image.

    For classes, a row holds K columns and K + 1 log probabilities in half precision: the last one
    is that of all other classes together. So any temperature can be applied later. For values, it
    holds all of them. Half precision keeps a number to one part in 2000.

    Args:
        folder: Folder of the store; it is created by the first :meth:`write`.
        header: Header of the run that reads or writes it.

    Attributes:
        header: The header, with the store's own teacher if the run names none.

    Raises:
        InputError: If the store was made under other conditions, naming both sides; if there is
            none and the run has no teacher to fill it; or if the folder holds something else.
    """

    def __init__(self, folder: Path, header: TargetHeader) -> None:
        if header.classes > _MOST_CLASSES:
            raise InputError(f"{header.classes} classes: {_MOST_CLASSES} at most can be stored")
        self.folder = folder
        saved = _read_header(folder)
        if saved is None and header.teacher is None:
            raise InputError(f"{folder}: no stored targets there; name the --teacher to fill it")
        if saved is not None:
            _check(folder, saved, header)
        self.header = saved or header
        self._kept = min(header.top_k, header.classes)
        self._row = np.dtype(
            [("column", np.uint16, (self._kept,)), ("log", np.float16, (self._kept + 1,))]
            if header.answers == "classes"
            else [("log", np.float16, (header.classes,))]
        )
        self._opened: dict[tuple[int, int], NDArray[Any]] = {}

    def missing(self, epochs: int) -> list[tuple[int, int]]:
        """(epoch, block) of the files that remain to be written for a number of epochs."""
        blocks = -(-self.header.photos // BLOCK)
        wanted = ((epoch, block) for epoch in range(epochs) for block in range(blocks))
        return [key for key in wanted if not self._file(*key).exists()]

    def rows(self, logits: Tensor) -> NDArray[Any]:
        """Rows of the store for a teacher's logits or values (B, C)."""
        if self.header.answers == "values":
            rows = np.empty(len(logits), self._row)
            rows["log"] = logits.float().clamp(_LEAST, -_LEAST).cpu().numpy()
            return rows
        logs = logits.float().log_softmax(dim=1)
        ranked, columns = logs.sort(dim=1, descending=True, stable=True)
        rest = ranked[:, self._kept :].logsumexp(dim=1, keepdim=True)
        rows = np.empty(len(logits), self._row)
        rows["column"] = columns[:, : self._kept].cpu().numpy()
        kept = torch.cat((ranked[:, : self._kept], rest), dim=1)
        rows["log"] = kept.clamp(min=_LEAST).cpu().numpy()
        return rows

    def empty(self, block: int) -> NDArray[Any]:
        """Rows of a block before anything is known about its images."""
        rows = np.zeros(min(BLOCK, self.header.photos - block * BLOCK), self._row)
        rows["log"] = np.nan
        return rows

    def write(self, epoch: int, block: int, rows: NDArray[Any]) -> None:
        """Store answers of images from ``block * BLOCK`` on, atomically. May raise OSError."""
        header = self.folder / HEADER_NAME
        if not header.exists():
            made = {"format": _FORMAT, **asdict(self.header)}
            write_text(header, json.dumps(made, indent=1))
        with replacing(self._file(epoch, block)) as temporary, temporary.open("wb") as file:
            np.save(file, rows, allow_pickle=False)

    def read(self, epoch: int, indices: Sequence[int]) -> Tensor:
        """The teacher's log probabilities, or values, (B, C) float32 of an epoch's images.

        Raises InputError if there are none, or the file is damaged, naming it.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        rows = np.empty(len(wanted), self._row)
        for block in np.unique(wanted // BLOCK).tolist():
            inside = wanted // BLOCK == block
            rows[inside] = self._block(epoch, block)[wanted[inside] % BLOCK]
            columns = rows["column"][inside] if self.header.answers == "classes" else _NO_COLUMNS
            if columns.max(initial=0) >= self.header.classes:
                raise InputError(
                    f"{self._file(epoch, block)}: damaged (a column beyond the "
                    f"{self.header.classes} classes); delete it and name the --teacher"
                )
        logs = torch.from_numpy(rows["log"].astype(np.float32))
        unknown = logs[:, 0].isnan()
        if unknown.any():
            photo = int(wanted[unknown.numpy()][0])
            raise InputError(
                f"{self._file(epoch, photo // BLOCK)}: holds no target of image {photo}, which "
                "could not be read when it was made; delete this file and name the --teacher"
            )
        if self.header.answers == "values":
            return logs
        others = self.header.classes - self._kept
        spread = logs[:, -1:] - np.log(max(others, 1))
        full: Tensor = spread.repeat(1, self.header.classes)
        columns = torch.from_numpy(rows["column"].astype(np.int64))
        return full.scatter_(1, columns, logs[:, :-1])

    def _file(self, epoch: int, block: int) -> Path:
        return self.folder / f"{epoch:05d}-{block:05d}.npy"

    def _block(self, epoch: int, block: int) -> NDArray[Any]:
        if any(key[0] != epoch for key in self._opened):
            self._opened = {}
        if (epoch, block) not in self._opened:
            file = self._file(epoch, block)
            try:
                found = np.load(file, mmap_mode="r", allow_pickle=False)
            except FileNotFoundError:
                raise InputError(f"{file}: missing; name the --teacher to store it anew") from None
            except (
                Exception
            ) as error:  # NumPy parses the header, and lets its parser's errors out.
                raise InputError(
                    f"{file}: damaged ({error}); delete it and name the --teacher"
                ) from error
            if (
                not isinstance(found, np.ndarray)
                or found.dtype != self._row
                or found.shape != self.empty(block).shape
            ):
                raise InputError(f"{file}: not of this store; delete it and name the --teacher")
            self._opened[epoch, block] = found
        return self._opened[epoch, block]


def _read_header(folder: Path) -> TargetHeader | None:
    file = folder / HEADER_NAME
    if not file.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"--targets {folder}: holds something else; name a new folder")
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found.pop("format") != _FORMAT:
            raise InputError("another format")
        refuse_other_types(found, TargetHeader)
        return TargetHeader(**found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file}: not the header of stored targets ({error})") from error


def _check(folder: Path, saved: TargetHeader, now: TargetHeader) -> None:
    """Refuse a run if the stored answers are not those of its teacher to its images."""
    start, end = f"--targets {folder}: stored", "name another folder, or train as the store says"
    for name, called in _NAMES.items():
        theirs, ours = getattr(saved, name), getattr(now, name)
        if theirs != ours:
            said = f"{theirs} there, {ours} in this run"
            raise InputError(f"{start} with another {called}: {said}; {end}")
    if now.teacher is not None and not is_same(saved.fingerprint, now.fingerprint):
        said = " there, ".join(f"{h.teacher} ({_short(h.fingerprint)})" for h in (saved, now))
        raise InputError(f"{start} with another teacher: {said} in this run; {end}")
    alike = len(saved.looks) == len(now.looks)
    if not alike or not np.allclose(saved.looks, now.looks, rtol=0, atol=_LEVELS):
        raise InputError(
            f"{start} of other images: images, augmentation or its library have changed since; "
            "name another folder"
        )


def look_of(images: Tensor) -> list[float]:
    """Mean colours of the quarters of the first 8 of some images (B, 3, S, S), in 0..255."""
    quarters = functional.adaptive_avg_pool2d(images[:8].float(), 2)
    return [round(value, 1) for value in quarters.flatten().tolist()]


def _short(fingerprint: Fingerprint | None) -> str:
    """The beginning of a fingerprint, for messages."""
    if isinstance(fingerprint, str):
        return fingerprint[:12]
    return f"answers {', '.join(f'{value:.3f}' for value in (fingerprint or [])[:3])}, ..."
