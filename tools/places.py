"""The geolocation tools' data: from a path to photos with positions, cells and loaders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.geolocation import TrainGeo
from datasets.demo_places import draw_places
from datasets.findings import MOST_BROKEN, Finding, drop_unusable
from datasets.geo import GeoData, find_parts, open_places
from datasets.images import probe_image
from datasets.label_transforms import LabelTransform
from datasets.labelled import LabelledData
from datasets.labelled_set import LabelledSet, label_loader
from datasets.loader import ResumableLoader
from datasets.perceptual_hash import hash_files, near
from datasets.positions import read_positions
from datasets.spec import Split
from datasets.text import read_text
from datasets.types import ClassMap, LabelBatch
from tasks.card import Card
from tasks.engine import rank_and_world
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.evaluator import GeoEvaluator
from tasks.geolocation.leaks import nearest_km
from tasks.geolocation.partition import Partition, is_cells, read_cells, split_adaptively
from tasks.geolocation.spec import DecodeSpec, PartitionSpec
from tasks.geolocation.sphere import distance_km
from tools import cli

PLACES = Path("data")
# Photos that look alike and lie this near are taken for copies.
COPY_KM = 1.0
# Distances within which training photos near photos to evaluate on are counted.
_TOLD_KM = (0.1, 1.0, 25.0)
Notes = list[tuple[str, str]]


def data_or_drawn(path: Path | None, seed: int) -> Path:
    """The user's data, or the built-in places, drawn where they are not there yet."""
    if path is not None:
        return path
    places = PLACES / f"places-{seed}"
    cli.say(f"no --data given: using built-in places ({places})")
    return draw_places(places, seed=seed)


def open_both(config: TrainGeo, path: Path) -> tuple[GeoData, GeoData, Notes]:
    """Open what a configuration trains on and what it evaluates on, and look for leaks.

    Returns:
        Training photos without leaks, validation photos, and facts for the report.

    Raises:
        ValueError: If the data cannot be used.
    """
    whole = config.val is not None
    train = open_sound(path, "train", whole=whole)
    val = open_sound(config.val or path, "val", whole=whole)
    train, notes = without_leaks(train, val, config.copy_bits, config.gap_km)
    for name, text in notes:
        cli.say(f"{name}: {text}")
    return train, val, notes


def open_sound(path: Path, split: Split, *, whole: bool = False) -> GeoData:
    """Open a split, leave out photos whose headers are damaged, and say what is in it.

    Raises:
        ValueError: If the data cannot be used.
    """
    data = open_places(path, split, whole=whole)
    findings: list[Finding] = []

    def problem(index: int) -> str:
        try:
            probe_image(str(data.files[index]))
        except ValueError as error:
            return str(error).removeprefix(f"{data.files[index]}: ")
        return ""

    good = drop_unusable(data.files, problem, findings)
    if len(findings) > MOST_BROKEN * len(data):
        raise ValueError(
            f"{split} data: {path}: {len(findings)} of {len(data)} photos are unreadable; the "
            f"first is {findings[0].file} ({findings[0].detail})"
        )
    data = data.select(good, "unreadable")
    cli.say(f"{split} data: {describe(data)}")
    return data


def part_to_measure(path: Path, card: Card) -> tuple[bool, str]:
    """What is measured of data where no part of it was asked for.

    Of a set that has a part to validate on, that part. Of a list without parts all, for it may be
    a benchmark; but of one that the weights were trained on the authors that were held out, as of
    a folder.

    Args:
        path: List or folder.
        card: Of the weights, which tells what they were trained on.

    Returns:
        Whether all of a set that is not parted, and a sentence about it.

    Raises:
        ValueError: If the path is not there, or is none of these.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    parts = find_parts(path)
    if len(parts) == 2:
        return False, f"the part of {path} to validate on; --split train takes the other"
    trained, held_out = _trained_on(card)
    used = trained.get("train")
    if used is None or used not in [part.path.resolve() for part in parts.values()]:
        if path.is_file():
            return True, f"all of {path}; --split val takes a fifth of its authors"
        return False, f"a fifth of the authors of {path}; --split all takes all of it"
    if not held_out:
        said = "on which the weights were trained: figures tell what was learnt by heart"
        return True, f"all of {path}, {said}"
    said = "the others have been trained on; --split all takes them too"
    return False, f"the fifth of the authors of {path} that was held out; {said}"


def _trained_on(card: Card) -> tuple[dict[str, Path], bool]:
    """Lists or folders that weights were trained on, by part, and whether authors were held out.

    Nothing where the data are not there any more.
    """
    told, _, command = card.source.partition(" by ")
    _, on, name = told.rpartition(" on ")
    path = Path(name)
    try:
        parts = find_parts(path) if on and path.exists() else {}
    except ValueError:
        parts = {}
    held_out = len(parts) == 1 and "--val" not in command
    return {name: part.path.resolve() for name, part in parts.items()}, held_out


def describe(data: GeoData) -> str:
    """One line on a split."""
    text = f"{data.root}: {len(data)} photos of {len(np.unique(data.authors))} authors"
    left_out = ", ".join(f"{count} {reason}" for reason, count in data.left_out.items())
    return f"{text} ({data.format})" + (f"; left out: {left_out}" if left_out else "")


def without_leaks(train: GeoData, val: GeoData, bits: int, gap_km: float) -> tuple[GeoData, Notes]:
    """Leave out training photos that tell the answers to validation photos.

    Args:
        train: To train on.
        val: To evaluate on.
        bits: Most bits in which the hashes of copies differ; below 0, nobody looks.
        gap_km: Training photos nearer than this to a validation photo are left out.

    Returns:
        What is left to train on, and facts for the report.

    Raises:
        ValueError: If nothing is left.
    """
    notes: Notes = []
    both = np.intersect1d(train.authors, val.authors)
    away = nearest_km(val.lat, val.lng, train.lat, train.lng)
    shares = ", ".join(f"{(away <= km).mean():.1%} within {km:g} km" for km in _TOLD_KM)
    text = f"{len(both)} authors in both parts; of the photos to evaluate on {shares} of one"
    notes.append(("leaks by distance", f"{text} to train on"))
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
        raise ValueError(f"{train.root}: every photo is a copy of, or near, one to evaluate on")
    return train.select(keep, "copies of, or near, photos to evaluate on"), notes


def _copies(train: GeoData, val: GeoData, bits: int) -> tuple[NDArray[np.int64], str]:
    """Training photos (K,) that look like a validation photo near them, and a fact."""
    ours, _ = hash_files(train.files.tolist(), "hashing photos to train on")
    theirs, _ = hash_files(val.files.tolist(), "hashing photos to evaluate on")
    pairs = near(ours, theirs, bits)
    mine, other = pairs.T
    km = distance_km(train.lat[mine], train.lng[mine], val.lat[other], val.lng[other])
    copies = np.unique(mine[km <= COPY_KM])
    far = len(np.unique(mine[km > COPY_KM]))
    return copies, (
        f"{len(copies)} photos look like one to evaluate on (hashes within {bits} bits) and lie "
        f"within {COPY_KM:g} km of it: left out; {far} look like one that is farther away: kept"
    )


def make_atlas(paths: tuple[Path, ...], spec: PartitionSpec, data: GeoData) -> Atlas:
    """The partitions that a model will answer in.

    Args:
        paths: Lists of cells, or one source of positions; none for the data's own.
        spec: How to divide positions.
        data: Training photos.

    Raises:
        ValueError: If there are too few positions, or fewer than two cells.
    """
    listed = [read_if_cells(path) for path in paths]
    partitions = [partition for partition in listed if partition is not None]
    if not partitions:
        if len(paths) > 1:
            raise ValueError(f"--cells {paths[0]}: is no list of cells; name one set of positions")
        lat, lng = read_positions(paths[0]) if paths else (data.lat, data.lng)
        most, least = spec.resolve(len(lat))
        partitions = [split_adaptively(lat, lng, most=above, least=least) for above in most]
    elif len(partitions) < len(paths):
        raise ValueError(f"--cells: {paths[listed.index(None)]} is no list of cells")
    atlas = Atlas(tuple(partitions))
    if len(atlas.fine) < 2:
        raise ValueError(
            f"the partition has {len(atlas.fine)} cell: nothing to choose from; lower "
            "--split-above, or name more photos"
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
    """The photos that lie in a cell of the finest partition: the others teach nothing.

    Raises:
        ValueError: If none does.
    """
    inside = atlas.fine.columns_at(data.lat, data.lng) >= 0
    if not inside.any():
        raise ValueError(f"{data.root}: no photo lies in any of the {len(atlas.fine)} cells")
    return data.select(inside, "in no cell")


def _labelled(data: GeoData) -> LabelledData:
    """As the loaders take photos; positions are looked up by index, so there are no labels."""
    return LabelledData(
        format=data.format,
        root=data.root,
        files=data.files,
        labels=np.zeros(len(data), np.int64),
        classes=ClassMap((0,), ("photo",)),
    )


@dataclass(frozen=True)
class Places:
    """A split, ready to be scored.

    Attributes:
        data: What a report looks up of a photo.
        loader: Of all of it, in order.
        evaluator: That knows the positions.
    """

    data: GeoData
    loader: ResumableLoader[LabelBatch]
    evaluator: GeoEvaluator


def make_places(
    data: GeoData,
    atlas: Atlas,
    card: Card,
    spec: DecodeSpec,
    *,
    temperature: float,
    batch_size: int,
    workers: int,
    cache: bool = False,
    alone: bool = False,
) -> Places:
    """Loader and evaluator of a split for a model, prepared as its card says.

    Args:
        data: Of the split.
        atlas: Of the model.
        card: Of the model.
        spec: How it answers.
        temperature: That its logits are divided by.
        batch_size: Photos per pass.
        workers: Loader processes.
        cache: Keep decoded photos in memory.
        alone: This process scores all of it, whatever others do; else it takes its share.
    """
    seen = card.flavour.input
    transform = LabelTransform(seen.size, "none", crop=seen.crop, interpolation=seen.interpolation)
    rank, world = (0, 1) if alone else rank_and_world()
    loader = label_loader(
        LabelledSet(_labelled(data), transform, cache=cache),
        batch_size=batch_size,
        train=False,
        workers=workers,
        rank=rank,
        world=world,
    )
    evaluator = GeoEvaluator(data.lat, data.lng, atlas.fine, spec, temperature)
    return Places(data, loader, evaluator)


def training_loader(config: TrainGeo, data: GeoData, workers: int) -> ResumableLoader[LabelBatch]:
    """This process's share of the augmented pictures of each epoch, in whole batches."""
    transform = LabelTransform(
        config.model.size, config.augment, interpolation=config.interpolation
    )
    rank, world = rank_and_world()
    return label_loader(
        LabelledSet(_labelled(data), transform, config.common.seed, cache=config.cache),
        batch_size=config.fit.batch_size,
        train=True,
        workers=workers,
        seed=config.common.seed,
        rank=rank,
        world=world,
    )
