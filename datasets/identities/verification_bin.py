"""Reads face verification sets in one file (``lfw.bin``, ``cfp_fp.bin``, ...) without trusting it.

Such a file is a pickle of two lists: image files, two for each pair, and whether each pair shows
one person. A pickle can run any code when it is loaded; here it can only make lists, tuples,
bytes, numbers and plain arrays, built by the few functions below instead of NumPy's, and
everything else in it is refused by name.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.errors import InputError
from datasets.identities.structure import FaceData, assemble_faces
from datasets.ledger import ARCHIVES, note_read
from datasets.lfs import refuse_pointer
from datasets.names import odd_file
from datasets.types import FacePairs

NUM_FOLDS = 10
_KINDS = frozenset({"b1", "u1", "?", "|b1", "|u1", "bool", "uint8"})


# Opcodes that build what is hashed or filled in: plain lists need none of them, and a small file
# could use them to run for years.
_NEEDLESS = frozenset(
    ["DICT", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET"]
)
_MEMO = frozenset(["PUT", "BINPUT", "LONG_BINPUT"])


class _RefusedError(Exception):
    """A pickle tries to use something other than plain data."""


def _told(value: object) -> str:
    """A value for a message; only its type for a list or tuple, which may contain itself."""
    plain = isinstance(value, str | bytes | int | float | None)
    return f"{value!r:.40}" if plain else f"a {type(value).__name__}"


class _Kind:
    """Stands for a NumPy data type of single bytes."""

    def __init__(self, name: Any, *_: Any) -> None:
        name = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(name, str) or name not in _KINDS:
            raise _RefusedError(f"an array of {_told(name)}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        """Ignore byte order and layout, which single bytes do not have."""


class _Array:
    """Stands for a NumPy array: one row of bytes."""

    data: bytes = b""

    def __setstate__(self, state: Any) -> None:
        data = state[4]
        if not isinstance(state[2], _Kind) or not isinstance(data, bytes):
            raise _RefusedError("an array of objects")
        self.data = data


def _scalar(_kind: _Kind, data: bytes) -> bool:
    return any(data)


def _latin1(text: str, coding: str) -> bytes:
    """What a pickle of protocol 2 contains where Python 3 had bytes."""
    if not isinstance(coding, str) or coding != "latin1":
        raise _RefusedError(f"text in {_told(coding)}")
    return text.encode("latin1")


def _new_array(*_: Any) -> _Array:
    return _Array()


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    made: dict[tuple[str, str], Callable[..., Any]] = {
        ("_codecs", "encode"): _latin1,
        ("numpy", "dtype"): _Kind,
        ("numpy", "ndarray"): _Array,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        made[module, "_reconstruct"] = _new_array
        made[module, "scalar"] = _scalar
    return made


class _PlainUnpickler(pickle.Unpickler):
    """Makes only plain data."""

    _ALLOWED = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        """Return a name that a pickle may use; called for every name."""
        if (module, name) not in self._ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return self._ALLOWED[module, name]


@dataclass(frozen=True)
class Pictures:
    """Image files in memory."""

    files: tuple[bytes, ...]

    def picture(self, record: int) -> bytes:
        """The image file of a record."""
        return self.files[record]


def read_bin(path: Path) -> FaceData:
    """The pairs of a verification file, in ten folds in their order.

    The file does not name the people, so the two images of a pair are separate identities here;
    the pairs state which show the same person.

    Args:
        path: The file.

    Raises:
        InputError: If it is not such a file, or uses anything but plain data.
    """
    note_read(path, ARCHIVES)
    refuse_pointer(path)
    files, same = _load(path)
    if not same or len(files) != 2 * len(same):
        raise InputError(
            f"{path}: {len(files)} images for {len(same)} pairs; two for each are needed"
        )
    pairs = np.arange(len(same), dtype=np.int64)
    folds = np.empty(len(same), dtype=np.int64)
    for fold, rows in enumerate(np.array_split(pairs, NUM_FOLDS)):
        folds[rows] = fold
    data = assemble_faces(
        format="bin",
        root=path,
        files=[f"{path}#{k}" for k in range(len(files))],
        identities=[f"{k:07d}" for k in range(len(files))],
        alignment="five_points",
        archive=Pictures(files),
        records=range(len(files)),
    )
    listed = FacePairs(
        first=pairs * 2,
        second=pairs * 2 + 1,
        same=np.array(same, dtype=np.bool_),
        folds=folds,
        tested=tuple(np.unique(folds).tolist()),
    )
    return replace(data, pairs=listed)


def _check_opcodes(content: bytes) -> None:
    """Check that a pickle can be loaded in the memory and time that its length justifies.

    The unpickler allocates memory for any memo index that the pickle names.
    """
    for opcode, argument, position in pickletools.genops(content):
        if opcode.name in _MEMO and not 0 <= int(argument or 0) <= len(content):
            raise _RefusedError(f"place {argument} of a memo (byte {position})")
        if opcode.name in _NEEDLESS:
            raise _RefusedError(f"a dictionary or set (byte {position})")


def _load(path: Path) -> tuple[tuple[bytes, ...], list[bool]]:
    """Image files, and whether each pair is of one person."""
    if what := odd_file(path):
        raise InputError(f"{path}: is {what}, and no file")
    try:
        content = path.read_bytes()
        _check_opcodes(content)
        # Files from Python 2 hold bytes where Python 3 would see text.
        found = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except _RefusedError as error:
        raise InputError(
            f"{path}: not a verification set: beside images and pairs it holds {error}, which "
            "is not loaded"
        ) from error
    except Exception as error:  # A damaged pickle may raise anything.
        raise InputError(
            f"{path}: not a verification set, or damaged ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise InputError(f"{path}: not a verification set: not two lists, images and pairs")
    pictures, same = found
    if not isinstance(pictures, tuple | list) or not isinstance(same, tuple | list):
        raise InputError(f"{path}: not a verification set: not two lists, images and pairs")
    files = tuple(p.data if isinstance(p, _Array) else p for p in pictures)
    for number, one in enumerate(files):
        if not isinstance(one, bytes):
            raise InputError(f"{path}: image {number} is {type(one).__name__}, not bytes")
    odd = next((one for one in same if not isinstance(one, bool | int)), None)
    if odd is not None:
        raise InputError(f"{path}: says of a pair {_told(odd)} instead of true or false")
    return files, [bool(one) for one in same]
