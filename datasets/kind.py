"""What a kind of data is: one record, which every door that takes data asks."""

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
    """What a user asks of an examination.

    Attributes:
        split: Part of the data; None takes what is trained on.
        decode: Decode every image to its end instead of reading its header.
        classes: List of the classes to take; None takes all.
        anchors: Gives the (A, 4) cx cy w h, relative to the input, that boxes are compared with;
            None compares them with none. It is called only where there are boxes.
        keep_aspect: The input holds an image's longer side, instead of each side its own.
        format: Name of the format; None leaves it to the evidence.
        images: Folder of the images where they lie elsewhere.
    """

    split: Split | None = None
    decode: bool = False
    classes: Path | None = None
    anchors: Callable[[], NDArray[np.float32]] | None = None
    keep_aspect: bool = False
    format: str | None = None
    images: Path | None = None

    def choose(self, parts: tuple[str, ...]) -> tuple[Split, Split | None]:
        """The part of a set to examine, and the one to compare it with, if there is another.

        Of a set that is not parted all is taken; of one without a part to train on, ``val``.
        """
        evaluated: Split = "val" if parts and "train" not in parts else "train"
        split = self.split or ("all" if len(parts) == 1 else evaluated)
        if split == "all" or "train" not in parts:
            return split, None
        if split == "train":
            return split, "test" if "test" in parts and "val" not in parts else "val"
        return split, "train"

    def tell(self, path: Path, split: Split, parts: Collection[str], whose: str = "") -> str:
        """What was chosen of a set with these parts, in words."""
        said = tell_part(path, split, parts, whose=whose, hint=self.split is None)
        return said if self.images is None else f"{said}, with the pictures of {self.images}"


class FindParts(Protocol):
    """Recognises a kind of data."""

    def __call__(self, path: Path, *, named: bool) -> tuple[str, ...] | None:
        """Parts of a set, which exists unless the kind takes patterns; None if it is another kind.

        With ``named`` the user says that it is of this kind, and what is only possible counts.

        Raises:
            InputError: If it is of the kind, but damaged.
        """


Examine = Callable[[Path, tuple[str, ...], CheckOptions], Examination[Any]]


@dataclass(frozen=True)
class Written:
    """A set that was written in another format, as reading it back tells.

    Attributes:
        parts: What each part holds, by what is counted.
        classes: Number of classes.
        notes: What is not as it was, with counts.
    """

    parts: Mapping[str, Mapping[str, int]]
    classes: int
    notes: tuple[str, ...]


class WriteParts(Protocol):
    """Writes a set in a format."""

    def __call__(self, parts: Mapping[str, Any], folder: Path, *, link: bool) -> Written:
        """Write all parts.

        Args:
            parts: Parts of a data set, from :attr:`DataKind.open_parts`.
            folder: Made; holds nothing yet.
            link: Link images instead of copying them.

        Raises:
            InputError: If something of the set cannot be written.
        """


def _never(_path: Path) -> bool:
    return False


def _nothing(_path: Path, _options: CheckOptions) -> Mapping[str, Any]:
    return {}


def _no_words(_path: Path) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class DataKind:
    """All that a door needs to know of a kind of data.

    Attributes:
        name: What it holds, in the plural; its folder in ``datasets`` is called so, too.
        task: Name of the application that it is examined for.
        layouts: A sentence that says which folders and files are of this kind.
        find_parts: Recognises it. The parts are of ``train``, ``val`` and ``test``, as
            :func:`~datasets.splitting.choose_part` takes them; none where only reading the data
            tells.
        examine: Has the data doctor look at a path of this kind with these parts.
        options: Options of the examination that mean something for it, of those that not all
            kinds know.
        takes_patterns: A path that does not exist may name several files of this kind.
        shares_files: The same files may carry annotations of another kind, too.
        is_evident: Whether a path carries annotations of this kind for certain: folders of
            images may be anything.
        nearest: A sentence about the format that an unrecognised path is most like, and what it
            lacks; empty if it is like none.
        doubt: Why a path that is recognised might be of another kind, too, in words; empty if
            the evidence is enough.
        formats: What is read, by the names that people know; ``docs/data.md`` lists them.
        open_parts: Reads all parts of a set, nothing held out, to be written anew; of the options
            those that say how it is to be read count.
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
