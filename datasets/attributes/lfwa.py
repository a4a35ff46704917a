"""LFWA: LFW's images with CelebA's forty attributes in MATLAB files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.attributes.structure import NO, YES, AttributeData, name_attributes
from datasets.errors import InputError
from datasets.matlab import NewerFileError, read_mat
from datasets.names import is_there

ATTRIBUTE_FILE, PARTITION_FILE = "lfw_att_40.mat", "indices_train_test.mat"
_NAMES, _LABELS, _FILES = "AttrName", "label", "name"
_TRAIN, _TEST = "indices_img_train", "indices_img_test"
# Largest number of values of a variable: LFWA's labels are half a million.
_MOST = 1 << 26
# Folders of the images, each of which holds a folder per person.
_IMAGE_FOLDERS = ("lfw", "lfw-deepfunneled", "lfw_funneled", "lfw-funneled", ".")


def read(path: Path) -> tuple[AttributeData, NDArray[np.int64] | None] | None:
    """The data set, and the part (N,) of each image if there is a list; None for another layout.

    Args:
        path: Folder of the data set.

    Raises:
        InputError: If a file is damaged, lacks a variable, or is in MATLAB's format 7.3 and h5py
            is not installed; or if the images are missing.
    """
    file = path / ATTRIBUTE_FILE
    if not file.is_file():
        return None
    content = _read_mat(file, (_NAMES, _LABELS, _FILES))
    # The list was written on Windows: Aaron_Eckhart\Aaron_Eckhart_0001.jpg.
    names = [name.replace("\\", "/") for name in content[_FILES]]
    labels = np.asarray(content[_LABELS])
    if labels.shape != (len(names), len(content[_NAMES])):
        raise InputError(
            f"{file}: {_LABELS} is {labels.shape}, for {len(names)} images and "
            f"{len(content[_NAMES])} attributes"
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"{file}: {_LABELS} holds numbers that are neither 0 nor 1")
    images = next(
        (path / f for f in _IMAGE_FOLDERS if names and is_there(path / f / names[0])), None
    )
    if images is None:
        raise InputError(f"{path}: no image {names[0] if names else ''}, in lfw/ or as it is")
    _, people = np.unique([name.partition("/")[0] for name in names], return_inverse=True)
    data = AttributeData(
        format="lfwa",
        root=path,
        files=np.array([str(images / name) for name in names], dtype=np.str_),
        values=np.where(labels == 1, YES, NO).astype(np.int8),
        attributes=name_attributes([name.strip() for name in content[_NAMES]], file),
        people=people.astype(np.int64),
    )
    return _part(data, path / PARTITION_FILE)


def _part(data: AttributeData, file: Path) -> tuple[AttributeData, NDArray[np.int64] | None]:
    """The images that a list assigns to training and test, and the part of each."""
    if not file.is_file():
        return data, None
    content = _read_mat(file, (_TRAIN, _TEST))
    parts = np.full(len(data), -1, np.int64)
    for name, part in ((_TRAIN, 0), (_TEST, 2)):
        numbers = np.asarray(content[name]).reshape(-1)
        if not np.isfinite(numbers).all():
            raise InputError(f"{file}: {name} holds what is no number")
        rows = numbers.astype(np.int64) - 1  # MATLAB counts from 1.
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(data):
            raise InputError(f"{file}: {name} goes beyond the {len(data)} images")
        parts[rows] = part
    inside = parts >= 0
    return data.select(inside), parts[inside]


def _read_mat(file: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Variables of a file: numbers as arrays, cells of text as lists."""
    try:
        content = read_mat(file, names)
    except NewerFileError:  # Version 7.3, in which LFWA was published.
        content = _read_hdf5(file, names)
    for name in names:
        if name not in content:
            raise InputError(f"{file}: no {name!r} in it")
    for name, value in content.items():
        if name in (_NAMES, _FILES):
            value = [value] if isinstance(value, str) else value
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise InputError(f"{file}: {name!r} is no list of names")
            content[name] = value
        elif not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            raise InputError(f"{file}: {name!r} holds no numbers")
    return content


def _read_hdf5(file: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Variables of a file in MATLAB's format 7.3, which is HDF5 with reversed axes."""
    if importlib.util.find_spec("h5py") is None:
        raise InputError(f"{file}: is in MATLAB's format 7.3; to read it, pip install h5py")
    import h5py

    found: dict[str, Any] = {}
    try:
        with h5py.File(file, "r") as opened:
            for name in names:
                if name not in opened:
                    continue
                if opened[name].size > _MOST:
                    raise InputError(f"{file}: {name!r} holds over {_MOST} values")
                value = np.asarray(opened[name][()])
                if value.dtype == object:  # References to texts, each an array of UTF-16.
                    found[name] = [_text(opened[one]) for one in value.reshape(-1)]
                else:
                    found[name] = value.T
    except InputError:
        raise
    except Exception as error:  # A damaged file makes h5py raise nearly anything.
        raise InputError(f"{file}: not a MATLAB file that can be read ({error})") from error
    return found


def _text(characters: Any) -> str:
    codes: NDArray[np.int64] = np.asarray(characters[()]).astype(np.int64).reshape(-1)
    return "".join(map(chr, codes.tolist()))
