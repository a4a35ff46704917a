"""What a kind of data is: one record, which every door that takes data asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.findings import Examination
from datasets.spec import Split

# Options of an examination that mean something for some kinds of data only.
Option = Literal["anchors", "keep_aspect", "classes"]


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What a user asks of an examination.

    Attributes:
        split: Part of the data; None takes what is trained on.
        decode: Decode every picture to its end instead of reading its header.
        classes: List of the classes to take; None takes all.
        anchors: Gives the (A, 4) cx cy w h, relative to the input, that boxes are compared with;
            None compares them with none. It is called only where there are boxes.
        keep_aspect: The input holds a picture's longer side, instead of each side its own.
    """

    split: Split | None = None
    decode: bool = False
    classes: Path | None = None
    anchors: Callable[[], NDArray[np.float32]] | None = None
    keep_aspect: bool = False

    def choose(self, parts: tuple[str, ...]) -> tuple[Split, Split | None]:
        """The part of a set to examine, and the one to compare it with, if there is another.

        Of a set that is not parted all is taken.
        """
        split = self.split or ("all" if len(parts) == 1 else "train")
        if split == "all" or "train" not in parts:
            return split, None
        return split, "val" if split == "train" else "train"


class FindParts(Protocol):
    """Recognises a kind of data."""

    def __call__(self, path: Path, *, named: bool) -> tuple[str, ...] | None:
        """Parts of a set, which exists unless the kind takes patterns; None if it is another kind.

        With ``named`` the user says that it is of this kind, and what is only possible counts.

        Raises:
            InputError: If it is of the kind, but damaged.
        """


Examine = Callable[[Path, tuple[str, ...], CheckOptions], Examination[Any]]


def _never(_path: Path) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class DataKind:
    """All that a door needs to know of a kind of data.

    Attributes:
        name: What it holds, in the plural; its folder in ``datasets`` is called so, too.
        task: Name of the application that it is examined for.
        layouts: A sentence that says which folders and files are of this kind.
        find_parts: Recognises it. The parts are ``train``, ``val`` or both, as
            :func:`~datasets.splitting.choose_part` takes them; none where only reading the data
            tells.
        examine: Has the data doctor look at a path of this kind with these parts.
        options: Options of the examination that mean something for it, of those that not all
            kinds know.
        takes_patterns: A path that does not exist may name several files of this kind.
        shares_files: The same files may carry annotations of another kind, too.
        is_evident: Whether a path carries annotations of this kind for certain: folders of
            pictures may be anything.
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
