"""The structure that faces of every format are read into: images by identity, and pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.identities.alignment import align_face
from datasets.images import Image, decode_image
from datasets.labels.structure import LabelledData, name_classes
from datasets.spec import Alignment
from datasets.splitting import held_out, name_shares
from datasets.types import FacePairs


class Archive(Protocol):
    """A file that holds many images."""

    def picture(self, record: int) -> bytes:
        """The image file of a record. Raises InputError if it cannot be read, naming both."""


@dataclass(frozen=True, kw_only=True)
class FaceData(LabelledData):
    """Images of faces; a class is an identity.

    Attributes:
        alignment: Alignment of the faces that :meth:`image` returns.
        pairs: Pairs of images to compare; None compares all images with each other.
        archive: Archive that holds the images; None if each is a file.
        records: (N,) int64 record of each image in the archive.
        points: (N, 5, 2) float64 x, y in pixels of the upright image: both eyes, nose, both
            corners of the mouth, those at the left of the image first. Images are aligned by them;
            None leaves images as they are.
        side: Side of aligned images, in pixels.
    """

    alignment: Alignment = "none"
    pairs: FacePairs | None = None
    archive: Archive | None = None
    records: NDArray[np.int64] | None = None
    points: NDArray[np.float64] | None = None
    side: int = 112

    @property
    def in_files(self) -> bool:
        """Whether each image is a file; see :attr:`PhotoFiles.in_files`."""
        return self.archive is None

    def image(self, index: int) -> Image:
        """The image of an index, (H, W, 3) uint8 RGB, aligned if there are points.

        Raises:
            InputError: If it cannot be read; the message names the file.
        """
        photo = self.photo(index)
        return photo if self.points is None else align_face(photo, self.points[index], self.side)

    def photo(self, index: int) -> Image:
        """The image of an index as stored, upright."""
        if self.archive is None or self.records is None:
            return super().image(index)
        data = self.archive.picture(int(self.records[index]))
        return decode_image(data, str(self.files[index]), upright=True)

    def select(self, keep: NDArray[np.bool_]) -> FaceData:
        """The images of a mask (N,); the identities are kept.

        Raises:
            InputError: If a pair would lose an image, naming it: the folds would no longer be
                those of the protocol.
        """
        fewer = replace(
            self,
            files=self.files[keep],
            labels=self.labels[keep],
            records=None if self.records is None else self.records[keep],
            points=None if self.points is None else self.points[keep],
            pairs=None,
        )
        if self.pairs is None:
            return fewer
        places = np.cumsum(keep) - 1
        for side in (self.pairs.first, self.pairs.second):
            lost = np.flatnonzero(~keep[side])
            if len(lost):
                raise InputError(
                    f"{self.files[side[lost[0]]]}: cannot be used, but a pair of the protocol "
                    f"needs it ({len(lost)} pairs in all): mend or replace the image"
                )
        first, second = places[self.pairs.first], places[self.pairs.second]
        return replace(fewer, pairs=replace(self.pairs, first=first, second=second))


def assemble_faces(
    *,
    format: str,
    root: Path,
    files: Sequence[str],
    identities: Sequence[str],
    alignment: Alignment = "none",
    archive: Archive | None = None,
    records: Sequence[int] | None = None,
) -> FaceData:
    """Build the flat structure from one identity per image (N,); columns by sorted name.

    In an ``archive`` the ``files`` (N,) are names for messages, and the ``records`` (N,) locate
    images.
    """
    order, columns = np.unique(np.array(identities, dtype=np.str_), return_inverse=True)
    return FaceData(
        format=format,
        root=root,
        files=np.array(files, dtype=np.str_),
        labels=columns.astype(np.int64),
        classes=name_classes(order.tolist()),
        alignment=alignment,
        archive=archive,
        records=None if records is None else np.array(records, dtype=np.int64),
    )


def keep_identities(data: FaceData, names: set[str]) -> FaceData:
    """The images of some identities, which are the only classes of the result."""
    chosen = np.array([name in names for name in data.classes.names], dtype=np.bool_)
    fewer = data.select(chosen[data.labels])
    ids = tuple(i for i, keep in zip(data.classes.ids, chosen, strict=True) if keep)
    kept = tuple(n for n, keep in zip(data.classes.names, chosen, strict=True) if keep)
    columns = np.cumsum(chosen) - 1
    classes = replace(data.classes, ids=ids, names=kept)
    return replace(fewer, labels=columns[fewer.labels], classes=classes)


def hold_out_identities(data: FaceData, split: str) -> FaceData:
    """Split a data set by identity: a fifth of those with two images or more is chosen by name.

    A face network is evaluated on people that it has not seen.

    Args:
        data: The whole data set.
        split: Part to return.

    Raises:
        InputError: If fewer than four identities have two images.
    """
    several = np.array(data.classes.names)[data.counts >= 2].tolist()
    if len(several) < 4:
        raise InputError(
            f"{data.root}: {len(several)} identities have two images or more; at least 4 are "
            "needed to train on some and measure others"
        )
    held = held_out(name_shares(several), least=2)  # One person cannot be told from another.
    out = {name for name, gone in zip(several, held, strict=True) if gone}
    return keep_identities(data, out if split == "val" else set(data.classes.names) - out)
