"""The recogniser of face data: folders of identities, LFW, archives, verification files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.attributes import lfwa
from datasets.attributes.opening import attribute_list
from datasets.errors import InputError, NotRecognised
from datasets.identities.alignment import PointDetector, read_points
from datasets.identities.lfw import (
    PAIRS_NAME,
    choose_fold,
    missing_photos,
    read_faces,
    read_lfw,
    read_pairs,
)
from datasets.identities.recordio import read_records
from datasets.identities.structure import FaceData, hold_out_identities, keep_identities
from datasets.identities.verification_bin import read_bin
from datasets.labels.folders import class_folders
from datasets.names import entries_like
from datasets.part_names import part_folders
from datasets.spec import Alignment, Split
from datasets.splitting import choose_part, tell_part

LAYOUTS = (
    "a folder of pictures per identity, as it is or in train/ and val/; LFW's (the same with "
    "pairs.txt); a .rec file with its .idx beside it, or their folder; or a .bin file of pairs"
)


def open_faces(
    path: Path, split: Split, *, fold: int | None = None, whole: bool = False
) -> FaceData:
    """Recognise face data and read a part of them.

    ``val`` has the photos of ``pairs.txt`` and its pairs where there is one; else a fifth of the
    identities, all compared with all. ``train`` has the identities that are not in ``val``.

    Args:
        path: Folder, archive or verification file.
        split: Part of it; ``all`` is everything, without pairs.
        fold: Of pairs in folds: that one is ``val``, with the one before it for the threshold,
            and only their people are left out of ``train``. None takes all folds.
        whole: Take all of a set that is not parted, for any split; of pairs, theirs.

    Raises:
        InputError: If the path is missing or not recognised, saying what it could be; or its
            pairs cannot be read; or a fold is named where there are no pairs of a list.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    parts = {} if path.is_file() else _parts_of(path)
    if fold is not None:
        _refuse_fold(path, split, fold, _evaluated(parts, split) or path)
    if path.suffix.lower() == ".bin":
        if split == "train":
            raise InputError(f"{path}: pairs to be evaluated on; it has no identities to train on")
        return read_bin(path)
    if parts:
        return _open_parted(path, split, parts, fold)
    if split == "test":
        raise InputError(
            f"{path}: has no part to test on, as it is not parted into folders of people; --split "
            "val takes its pairs or a fifth of its people"
        )
    everything = _open_whole(path)
    paired = shares_people(path)
    if split == "all" or (whole and not (paired and split == "val")):
        return everything
    if not paired:
        return hold_out_identities(everything, split)
    val = read_lfw(path)
    val = val if fold is None else choose_fold(val, fold)
    return val if split == "val" else without_people(everything, val)


def _refuse_fold(path: Path, split: Split, fold: int, folder: Path) -> None:
    """See that a fold can be told apart, in the folder that would hold the list of pairs."""
    if split == "all":
        raise InputError(f"--fold {fold}: of pairs; --split all compares all photos with all")
    if not (folder.is_dir() and (folder / PAIRS_NAME).is_file()):
        raise InputError(f"--fold {fold}: {path} has no {PAIRS_NAME} with folds; leave it out")


def shares_people(path: Path) -> bool:
    """Whether the pairs of some data are of people to train on too, as LFW's: a fold is tested."""
    return path.is_dir() and (path / PAIRS_NAME).is_file() and not _parts_of(path)


def find_face_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    """Parts of face data, of ``train``, ``val`` and ``test``; None if a path is none.

    Folders of pictures alone are identities if they are ``named`` so; else they might be any
    classes, and only archives and lists of pairs tell.
    """
    if path.is_file():
        return {".rec": ("train",), ".bin": ("val",)}.get(path.suffix.lower())
    parts = _parts_of(path)
    held = _evaluated(parts, "val")
    if held is not None and (named or (held / PAIRS_NAME).is_file()):
        return tuple(parts)
    if entries_like(path, "*.rec") or ((path / PAIRS_NAME).is_file() and class_folders(path)):
        return ("train",)
    return ("train",) if named and class_folders(path) else None


def tell_faces(path: Path, split: Split, parts: Collection[str], *, hint: bool = True) -> str:
    """A part of face data in words, as :func:`~datasets.splitting.tell_part` has it."""
    if split in ("train", "val") and shares_people(path):
        return f"the pairs of {path}" if split == "val" else f"{path} without those in its pairs"
    return tell_part(path, split, parts, whose="the people of ", hint=hint)


def open_with_pairs(
    path: Path, split: Split
) -> tuple[FaceData, list[tuple[int, str]], Path | None]:
    """What :func:`open_faces` opens, for the data doctor: with pairs whose photos are missing.

    Here ``all`` is everything, with its pairs.

    Returns:
        The photos, with the pairs of their list unless it lacks photos; the (line, name) of
        these; and the list, if there is one.

    Raises:
        InputError: As :func:`open_faces`, but for missing photos.
    """
    folder, evaluated = path, split in ("val", "test")
    if evaluated and path.is_dir():
        folder = _evaluated(_parts_of(path), split) or path
    file = folder / PAIRS_NAME
    if split == "train" or not file.is_file():
        return open_faces(path, split), [], None
    data = read_faces(folder)
    missing = missing_photos(file, data)
    if not missing:
        data = read_lfw(folder) if evaluated else replace(data, pairs=read_pairs(file, data))
    return replace(data, format="lfw"), missing, file


def without_people(data: FaceData, other: FaceData) -> FaceData:
    """The photos of people that another set lacks. Raises InputError if nobody is left."""
    theirs = {other.classes.names[label] for label in set(other.labels.tolist())}
    names = set(data.classes.names) - theirs
    if len(names) < 2:
        raise InputError(
            f"{data.root}: of {len(data.classes)} identities all but {len(names)} are evaluated "
            "on too; a network is measured on people that it has not seen. Name other data by "
            "--val, or a --fold"
        )
    return keep_identities(data, names)


def _parts_of(path: Path) -> dict[str, Path]:
    """Folders of a set that has one to train on and one to evaluate on."""
    found = {
        split: folder
        for split, folders in part_folders(path).items()
        for folder in reversed(folders)
        if class_folders(folder)
    }
    return found if "train" in found and len(found) > 1 else {}


def _evaluated(parts: Mapping[str, Path], split: Split) -> Path | None:
    """The folder of what is evaluated on; None of a set that is not parted."""
    tested = parts.get("test")
    return tested if split == "test" else parts.get("val", tested)


def _open_parted(path: Path, split: Split, parts: dict[str, Path], fold: int | None) -> FaceData:
    if split == "all":
        raise InputError(f"{path}: holds {' and '.join(parts)}; name the folder of one of them")
    folder, _ = choose_part(path, split, parts)
    if split == "train":
        return read_faces(folder)
    if not (folder / PAIRS_NAME).is_file():
        return read_faces(folder)
    return read_lfw(folder) if fold is None else choose_fold(read_lfw(folder), fold)


def _open_whole(path: Path) -> FaceData:
    """All photos of a folder of identities or an archive."""
    if path.suffix.lower() == ".rec":
        return read_records(path)
    archives = entries_like(path, "*.rec")
    if archives:
        named = [file for file in archives if file.stem == "train"] or archives
        if len(named) > 1:
            raise InputError(f"{path}: holds {len(named)} .rec files; name one of them")
        return read_records(named[0])
    if path.is_dir() and (folders := class_folders(path)):
        # LFWA has LFW's folders, one of each person, beside its list or in a folder of their own.
        people = len(folders) > 1 and (path / lfwa.ATTRIBUTE_FILE).is_file()
        if not people and (told := attribute_list(path)) and not (path / PAIRS_NAME).is_file():
            raise NotRecognised(
                path, f"its folders are no people: {told.name} tells of attributes"
            )
        return read_faces(path)
    raise NotRecognised(path, f"not recognised as face data. It should be {LAYOUTS}")


def place_faces(
    data: FaceData,
    *,
    alignment: Alignment | None,
    points: Path | None,
    detector: Path | None,
    side: int,
) -> FaceData:
    """Align the photos of a set to a side in pixels, or note how its faces stand already.

    Args:
        data: As it was read.
        alignment: What a user says of the photos; None believes the format.
        points: List of points to align by.
        detector: File of the detector that finds them.
        side: Of aligned photos.

    Raises:
        InputError: If points cannot be had, or the photos are aligned already.
    """
    if points is None and detector is None:
        return replace(data, alignment=alignment or data.alignment)
    if data.alignment == "five_points":
        flag = "--points" if points else "--detector"
        raise InputError(f"{flag}: the faces of {data.root} ({data.format}) are aligned already")
    if points is not None:
        names = [str(file).removeprefix(f"{data.root}/") for file in data.files]
        found = read_points(points, names)
        return replace(data, points=found, side=side, alignment="five_points")
    assert detector is not None
    return _detected(data, PointDetector(detector), side)


def _detected(data: FaceData, detector: PointDetector, side: int) -> FaceData:
    """Photos with the points that a detector finds; those without a face are left out."""
    rows = [
        detector(data.photo(index))
        for index in tqdm(range(len(data)), "finding faces", unit="photo", delay=2)
    ]
    keep = np.array([row is not None for row in rows], dtype=np.bool_)
    if not keep.any():
        raise InputError(f"--detector {detector.model}: finds no face in any photo of {data.root}")
    points = np.array([row for row in rows if row is not None])
    chosen = data.select(keep)  # A pair that loses a photo is an error.
    left_out = data.left_out + int((~keep).sum())
    return replace(chosen, points=points, side=side, alignment="five_points", left_out=left_out)
