"""The data of the geolocation tools: from a path to images with positions, cells and loaders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.geolocation import TrainGeo
from datasets.errors import InputError
from datasets.labels.structure import LabelledData
from datasets.perceptual_hash import hash_files, near
from datasets.positions.checking import examine_places
from datasets.positions.columns import read_positions
from datasets.positions.opening import (
    GeoData,
    LeftOut,
    part_by_author,
    read_places,
    without_positions,
)
from datasets.spec import Split
from datasets.splitting import HOLD_OUT, lowest, name_shares
from datasets.text import read_text
from datasets.types import ClassMap
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.evaluator import GeoEvaluator
from tasks.geolocation.partition import Partition, is_cells, read_cells, split_adaptively
from tasks.geolocation.spec import DecodeSpec, PartitionSpec
from tasks.geolocation.sphere import distance_km, nearest_km
from tasks.weights.card import Card
from tools import cli
from tools.flows.photo_loaders import exam_loader
from tools.flows.recipe import Loading, Notes, Ready

# Title of the row about the images that select the weights.
CHOSEN_ON = "weights chosen and temperature fitted on"
# Similar images within this distance count as copies.
COPY_KM = 1.0
# Distances within which training images near evaluation images are counted.
_TOLD_KM = (0.1, 1.0, 25.0)
# Number of images that are enough to select weights on, with a standard error of a point or less.
_TO_CHOOSE = 5000
_NO_CLASSES = ClassMap((0,), ("photo",))


@dataclass(frozen=True)
class Parts:
    """The training and evaluation data of a geolocator, without leaks, and rows for the report.

    ``chosen`` selects the weights and fits the temperature: ``val`` unless ``--val`` is given.
    """

    train: GeoData
    chosen: GeoData
    val: GeoData
    notes: Notes


def open_parts(config: TrainGeo, path: Path) -> Parts:
    """Open training and evaluation data, without leaks. Raises InputError if impossible."""
    apart = config.val is not None
    train = open_sound(path, "train", whole=apart)
    val = open_sound(config.val or path, "val", whole=apart)
    kept, notes = without_leaks(train, val, config.copy_bits, config.gap_km)
    chosen, text = val, "the images that are evaluated on: figures are a little too good"
    if apart:
        kept, chosen = hold_out(kept)
        text = f"{tell_held_out(chosen, path)}, not on --val"
    notes = [
        (CHOSEN_ON, text),
        ("leaks by distance", leaks_by_distance(train, kept, val)),
        *notes,
    ]
    for name, text in notes:
        cli.say(f"{name}: {text}")
    return Parts(kept, chosen, val, notes)


def tell_held_out(chosen: GeoData, path: Path) -> str:
    """Description of images that were taken from the training images to select weights on."""
    return f"{len(chosen)} images of {len(np.unique(chosen.authors))} authors held out of {path}"


def hold_out(data: GeoData) -> tuple[GeoData, GeoData]:
    """Images to train on, and images to select weights on: nothing is selected on a benchmark.

    A fifth of the authors is held out, or enough authors for about 5,000 images; with a single
    author, as many of the images.

    Args:
        data: All images.

    Raises:
        InputError: If there is only one image.
    """
    alone = len(np.unique(data.authors)) == 1
    known = replace(data, authors=data.files) if alone else data
    share = min(HOLD_OUT, _TO_CHOOSE / len(data))
    train, chosen = (part_by_author(known, part, share) for part in ("train", "val"))
    if alone:
        train, chosen = (
            replace(part, authors=np.full(len(part), data.authors[0])) for part in (train, chosen)
        )
    return train, chosen


def by_authors(data: GeoData, share: float) -> GeoData:
    """A share of the images: those of the first authors in an order that names determine."""
    return data.select(lowest(name_shares(data.authors.tolist()), share))


def open_sound(path: Path, split: Split, *, whole: bool = False) -> GeoData:
    """Open a part, examine it, and describe it. Raises InputError if the doctor refuses it."""
    left_out: list[LeftOut] = []
    data, lone = read_places(path, split, left_out)
    if lone and len(data) and not whole:
        data = part_by_author(data, split)
    if not len(data):
        raise without_positions(path, data, left_out)
    checkup = examine_places(data, left_out=left_out)
    checkup.raise_if_refused(f"{split} data")
    told = checkup.lines(5) if checkup.findings else []
    cli.say("\n".join((f"{split} data: {describe(checkup.data)}", *told)))
    return checkup.data


def describe(data: GeoData) -> str:
    """One line about a part."""
    text = f"{data.root}: {len(data)} images of {len(np.unique(data.authors))} authors"
    left_out = ", ".join(f"{count} {reason}" for reason, count in data.left_out.items())
    return f"{text} ({data.format})" + (f"; left out: {left_out}" if left_out else "")


def without_leaks(train: GeoData, val: GeoData, bits: int, gap_km: float) -> tuple[GeoData, Notes]:
    """Leave out training images that reveal the answers to validation images.

    These are similar (hashes differ in at most ``bits`` bits; below 0 nothing is compared) or
    near.

    Args:
        train: Training images.
        val: Validation images.
        bits: Largest number of differing bits.
        gap_km: Distance in km within which training images are left out.

    Returns:
        The remaining training images, and rows for the report.

    Raises:
        InputError: If nothing is left.
    """
    notes: Notes = []
    keep = np.ones(len(train), np.bool_)
    if bits >= 0:
        copies, text = _copies(train, val, bits)
        keep[copies] = False
        notes.append(("leaks by looks", text))
    if gap_km > 0:
        close = nearest_km(train.lat, train.lng, val.lat, val.lng) <= gap_km
        notes.append(("gap", f"{(keep & close).sum()} more left out, within {gap_km:g} km"))
        keep &= ~close
    if not keep.any():
        raise InputError(f"{train.root}: every image is a copy of, or near, one to evaluate on")
    return train.select(keep, "copies of, or near, images to evaluate on"), notes


def leaks_by_distance(train: GeoData, kept: GeoData, val: GeoData) -> str:
    """Number of evaluation images near training images, and of authors in both parts."""
    both = np.intersect1d(kept.authors, val.authors)
    text = f"{len(both)} authors in both parts; of the images to evaluate on {_near(kept, val)}"
    if len(kept) == len(train):
        return f"{text} of one to train on"
    return f"{text} of one that is trained on; before images were left out {_near(train, val)}"


def _near(train: GeoData, val: GeoData) -> str:
    """Shares of the evaluation images that are near a training image."""
    away = nearest_km(val.lat, val.lng, train.lat, train.lng)
    return ", ".join(f"{(away <= km).mean():.1%} within {km:g} km" for km in _TOLD_KM)


def _copies(train: GeoData, val: GeoData, bits: int) -> tuple[NDArray[np.int64], str]:
    """Training images (K,) that look like a validation image near them, and a description."""
    ours, _ = hash_files(train.files.tolist(), "hashing images to train on")
    theirs, _ = hash_files(val.files.tolist(), "hashing images to evaluate on")
    pairs = near(ours, theirs, bits)
    mine, other = pairs.T
    km = distance_km(train.lat[mine], train.lng[mine], val.lat[other], val.lng[other])
    copies = np.unique(mine[km <= COPY_KM])
    far = len(np.unique(mine[km > COPY_KM]))
    return copies, (
        f"{len(copies)} images look like one to evaluate on (hashes within {bits} bits) and lie "
        f"within {COPY_KM:g} km of it: left out; {far} look like one that is farther away: kept"
    )


def make_atlas(paths: tuple[Path, ...], spec: PartitionSpec, data: GeoData) -> Atlas:
    """The partitions that a model answers in: lists of cells, or made from positions.

    Without paths they are made from the data's own positions.

    Args:
        paths: Lists of cells or positions.
        spec: How the globe is divided.
        data: Training images.

    Raises:
        InputError: If there are too few positions, or fewer than two cells.
    """
    listed = [read_if_cells(path) for path in paths]
    partitions = [partition for partition in listed if partition is not None]
    if not partitions:
        if len(paths) > 1:
            raise InputError(f"--cells {paths[0]}: is no list of cells; name one set of positions")
        lat, lng = read_positions(paths[0]) if paths else (data.lat, data.lng)
        most, least = spec.resolve(len(lat))
        partitions = [split_adaptively(lat, lng, most=above, least=least) for above in most]
    elif len(partitions) < len(paths):
        raise InputError(f"--cells: {paths[listed.index(None)]} is no list of cells")
    atlas = Atlas(tuple(partitions))
    if len(atlas.fine) < 2:
        raise InputError(
            f"the partition has {len(atlas.fine)} cell: nothing to choose from; lower "
            "--split-above, or name more images"
        )
    return atlas


def read_if_cells(path: Path) -> Partition | None:
    """The partition of a list of cells; None if a path is something else."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        head = "".join(line for line, _ in zip(lines, range(5), strict=False))
    return read_cells(path, read_text(path)) if is_cells(head) else None


def in_cells(data: GeoData, atlas: Atlas) -> GeoData:
    """The images inside one of the finest cells. Raises InputError if there are none."""
    inside = atlas.fine.columns_at(data.lat, data.lng) >= 0
    if not inside.any():
        raise InputError(f"{data.root}: no image lies in any of the {len(atlas.fine)} cells")
    return data.select(inside, "in no cell")


def as_labelled(data: GeoData, classes: ClassMap = _NO_CLASSES) -> LabelledData:
    """The images as loaders take them: without labels, because positions are looked up by index.

    The classes are those of a teacher's answers, if these are stored.
    """
    return LabelledData(
        format=data.format,
        root=data.root if data.root.is_dir() else data.root.parent,
        files=data.files,
        labels=np.zeros(len(data), np.int64),
        classes=classes,
    )


def make_places(
    data: GeoData,
    atlas: Atlas,
    card: Card,
    spec: DecodeSpec,
    loading: Loading,
    *,
    temperature: float,
) -> Ready[GeoData, GeoEvaluator]:
    """Loader and evaluator of a part, for a model.

    The evaluator decodes with the model's ``atlas``, as ``spec`` states, from logits divided by
    the ``temperature``.
    """
    loader = exam_loader(as_labelled(data), card, loading)
    return Ready(data, loader, GeoEvaluator(data.lat, data.lng, atlas.fine, spec, temperature))
