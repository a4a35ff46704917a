"""The record that describes a kind of data; every command that takes data uses it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.findings import Examination
from datasets.spec import Option, Split
from datasets.splitting import tell_part


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Options of an examination.

    Attributes:
        split: Part of the data; None takes the training part.
        decode: Whether to decode every image completely instead of reading its header.
        classes: File with the list of the classes to use; None uses all.
        anchors: Function that returns the anchors (A, 4) cx cy w h, relative to the input, that
            boxes are compared with; None compares them with none. It is called only if there are
            boxes.
        keep_aspect: Whether the detector preserves the aspect ratio of images.
        format: Name of the format; None leaves it to the evidence.
        images: Folder of the images, if they are not with the annotations.
    """

    split: Split | None = None
    decode: bool = False
    classes: Path | None = None
    anchors: Callable[[], NDArray[np.float32]] | None = None
    keep_aspect: bool = False
    format: str | None = None
    images: Path | None = None

    def choose(self, parts: tuple[str, ...]) -> tuple[Split, Split | None]:
        """The part of a data set to examine, and the one to compare it with, if there is another.

        Data without parts is examined whole; if there is no training part, ``val`` is.
        """
        evaluated: Split = "val" if parts and "train" not in parts else "train"
        split = self.split or ("all" if len(parts) == 1 else evaluated)
        if split == "all" or "train" not in parts:
            return split, None
        if split == "train":
            return split, "test" if "test" in parts and "val" not in parts else "val"
        return split, "train"

    def tell(self, path: Path, split: Split, parts: Collection[str], whose: str = "") -> str:
        """Description of the part that was chosen."""
        said = tell_part(path, split, parts, whose=whose, hint=self.split is None)
        return said if self.images is None else f"{said}, with the images of {self.images}"


class FindParts(Protocol):
    """Recognises a kind of data."""

    def __call__(self, path: Path, *, named: bool) -> tuple[str, ...] | None:
        """Parts of a data set; None if it is of another kind.

        Args:
            path: Path of the data set, which exists unless the kind takes patterns.
            named: Whether the user states that it is of this kind, so that weak evidence counts.

        Raises:
            InputError: If it is of the kind, but damaged.
        """


Examine = Callable[[Path, tuple[str, ...], CheckOptions], Examination[Any]]


@dataclass(frozen=True)
class Written:
    """A data set that was written in another format, as found by reading it back.

    Attributes:
        parts: Counts in each part, by what is counted.
        classes: Number of classes.
        notes: What differs from the original, with counts.
    """

    parts: Mapping[str, Mapping[str, int]]
    classes: int
    notes: tuple[str, ...]


class WriteParts(Protocol):
    """Writes a data set in a format."""

    def __call__(self, parts: Mapping[str, Any], folder: Path, *, link: bool) -> Written:
        """Write all parts.

        Args:
            parts: Parts of a data set, from :attr:`DataKind.open_parts`.
            folder: Existing, empty folder.
            link: Whether to link images instead of copying them.

        Raises:
            InputError: If part of the data set cannot be written.
        """


def _never(_path: Path) -> bool:
    return False


def _nothing(_path: Path, _options: CheckOptions) -> Mapping[str, Any]:
    return {}


def _no_words(_path: Path) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class DataKind:
    """All that commands need to know about a kind of data.

    Attributes:
        name: What it holds, in the plural; also the name of its folder in ``datasets``.
        task: Name of the application that it is examined for.
        layouts: Sentence that states which folders and files are of this kind.
        find_parts: Function that recognises it. The parts are among ``train``, ``val`` and
            ``test``, as :func:`~datasets.splitting.choose_part` takes them; none if only reading
            the data reveals them.
        examine: Function with which the data doctor examines a path of this kind with these parts.
        options: Options of the examination that apply to it, among those that not all kinds have.
        takes_patterns: Whether a path that does not exist may be a pattern for several files.
        shares_files: Whether the same files may also carry annotations of another kind.
        is_evident: Function that states whether a path certainly has annotations of this kind:
            folders of images may be anything.
        nearest: Function that returns a sentence about the format that an unrecognised path is
            most similar to, and what it lacks; empty if there is none.
        doubt: Function that returns why a recognised path might be of another kind; empty if the
            evidence is enough.
        formats: Formats that are read, by their common names; ``docs/data.md`` lists them.
        open_parts: Function that reads all parts of a data set, with nothing held out, for
            conversion; only the options about how to read it are used.
        targets: Formats that it can be written in.
    """

    name: str
    task: str
    layouts: str
    find_parts: FindParts
    examine: Examine
    options: frozenset[Option] = frozenset()
    takes_patterns: bool = False
    shares_files: bool = False
    is_evident: Callable[[Path], bool] = _never
    nearest: Callable[[Path], str] = _no_words
    doubt: Callable[[Path], str] = _no_words
    formats: tuple[str, ...] = ()
    open_parts: Callable[[Path, CheckOptions], Mapping[str, Any]] = _nothing
    targets: Mapping[str, WriteParts] = field(default_factory=dict)
