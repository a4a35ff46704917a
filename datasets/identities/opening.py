"""Recognises face data: folders of identities, LFW, archives, verification files."""

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
    "a folder of images per identity, as it is or in train/ and val/; LFW's (the same with "
    "pairs.txt); a .rec file with its .idx beside it, or their folder; or a .bin file of pairs"
)


def open_faces(
    path: Path, split: Split, *, fold: int | None = None, whole: bool = False
) -> FaceData:
    """Recognise face data and read a part of it.

    ``val`` has the images and pairs of ``pairs.txt`` if there is one; otherwise a fifth of the
    identities, all images compared with each other. ``train`` has the identities that are not in
    ``val``.

    Args:
        path: Folder, archive or verification file.
        split: Part to read; ``all`` is everything, without pairs.
        fold: For pairs in folds: number of the fold that is ``val``, together with the one before
            it for the threshold; only the people of these two are left out of ``train``. None
            takes all folds.
        whole: Whether data without parts is used whole for any split; with pairs, only their
            images.

    Raises:
        InputError: If the path is missing or not recognised, stating what it could be; if its
            pairs cannot be read; or if a fold is given but there is no list of pairs.
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
            f"{path}: has no part to test on, as it is not split into folders of people; --split "
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
    """Refuse a fold if the folder that should hold the list of pairs has none."""
    if split == "all":
        raise InputError(f"--fold {fold}: of pairs; --split all compares all images with all")
    if not (folder.is_dir() and (folder / PAIRS_NAME).is_file()):
        raise InputError(f"--fold {fold}: {path} has no {PAIRS_NAME} with folds; leave it out")


def shares_people(path: Path) -> bool:
    """Whether the pairs show people to train on too, as in LFW: a fold is tested."""
    return path.is_dir() and (path / PAIRS_NAME).is_file() and not _parts_of(path)


def find_face_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    """Parts of face data, among ``train``, ``val`` and ``test``; None if a path is not face data.

    Args:
        path: Path of the data set.
        named: Whether the user states that it is face data. Otherwise folders of images might be
            any classes, and only archives and lists of pairs are recognised.
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
    """Description of a part of face data; see :func:`~datasets.splitting.tell_part`."""
    if split in ("train", "val") and shares_people(path):
        return f"the pairs of {path}" if split == "val" else f"{path} without those in its pairs"
    return tell_part(path, split, parts, whose="the people of ", hint=hint)


def open_with_pairs(
    path: Path, split: Split
) -> tuple[FaceData, list[tuple[int, str]], Path | None]:
    """Open data as :func:`open_faces` does, but with pairs whose images are missing.

    This is for the data doctor. Here ``all`` is everything, with its pairs.

    Args:
        path: Folder, archive or verification file.
        split: Part to read.

    Returns:
        The images, with the pairs of their list unless images are missing; the (line, name) of
        missing images; and the list, if there is one.

    Raises:
        InputError: Under the same conditions as in :func:`open_faces`, except for missing images.
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
    """Images of people that are not in another data set. Raises InputError if none are left."""
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
    """Folders of a data set that has a training part and an evaluation part."""
    found = {
        split: folder
        for split, folders in part_folders(path).items()
        for folder in reversed(folders)
        if class_folders(folder)
    }
    return found if "train" in found and len(found) > 1 else {}


def _evaluated(parts: Mapping[str, Path], split: Split) -> Path | None:
    """The folder to evaluate on; None if the data set has no parts."""
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
    """All images in a folder of identities or an archive."""
    if path.suffix.lower() == ".rec":
        return read_records(path)
    archives = entries_like(path, "*.rec")
    if archives:
        named = [file for file in archives if file.stem == "train"] or archives
        if len(named) > 1:
            raise InputError(f"{path}: holds {len(named)} .rec files; name one of them")
        return read_records(named[0])
    if path.is_dir() and (folders := class_folders(path)):
        # LFWA has LFW's folders, one for each person, beside its list or in a separate folder.
        people = len(folders) > 1 and (path / lfwa.ATTRIBUTE_FILE).is_file()
        if not people and (told := attribute_list(path)) and not (path / PAIRS_NAME).is_file():
            raise NotRecognised(path, f"its folders are no people: {told.name} lists attributes")
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
    """Align the images of a data set, or note how they are already aligned.

    Args:
        data: Data as it was read.
        alignment: Alignment that the user states; None uses that of the format.
        points: List of points to align by.
        detector: File of the detector that finds the points.
        side: Side of aligned images, in pixels.

    Raises:
        InputError: If points are not available, or the images are already aligned.
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
    """Images with the points that a detector finds; those without a face are left out."""
    rows = [
        detector(data.photo(index))
        for index in tqdm(range(len(data)), "finding faces", unit="image", delay=2)
    ]
    keep = np.array([row is not None for row in rows], dtype=np.bool_)
    if not keep.any():
        raise InputError(f"--detector {detector.model}: finds no face in any image of {data.root}")
    points = np.array([row for row in rows if row is not None])
    chosen = data.select(keep)  # A pair that loses an image is an error.
    left_out = data.left_out + int((~keep).sum())
    return replace(chosen, points=points, side=side, alignment="five_points", left_out=left_out)
