"""The folder recogniser of classification and fine-grained recognition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from datasets.attributes.opening import attribute_list
from datasets.errors import InputError, NotRecognised
from datasets.findings import first_of
from datasets.labels import (
    csv_list,
    folders,
    metadata,
    parquet,
    pets,
    stanford_dogs,
    text_list,
    tiny_imagenet,
)
from datasets.labels.sets_within import are_described_classes, sets_within, told_beside
from datasets.labels.structure import LabelledData, Part, hold_out
from datasets.ledger import note_entries
from datasets.names import is_folder, joined, shown
from datasets.refused import refusal
from datasets.shards.finding import holds_shards
from datasets.shards.tar import first_sample
from datasets.spec import Split
from datasets.splitting import choose_part
from datasets.text import read_text
from datasets.unpacked import unpacked

# By the names that people know them by; the most particular layout first. Each has find_splits.
READERS: dict[str, ModuleType] = {
    "Stanford Dogs": stanford_dogs,
    "Oxford-IIIT Pets": pets,
    "Tiny ImageNet": tiny_imagenet,
    "Parquet": parquet,
    "metadata.jsonl": metadata,
    "CSV list": csv_list,
    "text list": text_list,
    "folder per class": folders,
}
# A reader, and the parts that it finds.
Found = tuple[Any, dict[str, Part]] | None
LAYOUTS = (
    "a folder of images per class, in train/ and val/ or as it is; or wnids.txt and "
    "val/val_annotations.txt (Tiny ImageNet); or Images/ beside train_list.mat or Annotation/ "
    "(Stanford Dogs); or images/ and annotations/trainval.txt (Oxford-IIIT Pets); or be a "
    ".csv or .tsv file with the columns path and label, or image and class; or shards, as .tar "
    "files; or metadata.jsonl, Parquet files, or lists of an image and its class per line "
    "(docs/data.md)"
)


def is_sharded(path: Path) -> bool:
    """Whether a path is shards, and not a folder in which an archive lies about.

    Shards beside one folder of images are a set, and the images are not.

    Raises:
        InputError: If shards lie beside folders of classes, so that either may be meant.
    """
    if not holds_shards(path):
        return False
    found = None if path.suffix.lower() == ".tar" else recognise_labelled(path)
    if found is None:
        return True
    sample = first_sample(path) if found[0] is folders else None
    if sample is None:
        return False
    classes = next(iter(found[1].values())).order
    if len(classes) > 1:
        raise InputError(
            f"{path}: could be shards ({sample.name} holds images with labels) or folders of "
            f"classes ({', '.join(classes[:3])}); move one of them elsewhere, or name the shards "
            f"as {sample.parent}/{{000000..000009}}.tar, with the numbers that there are"
        )
    return True


def open_labelled(path: Path, split: Split, *, whole: bool = False) -> LabelledData:
    """Recognise a folder (or CSV file) and read one split of it.

    A set that has a training part only gives a fifth of each class, chosen by file name, to
    ``val``, and the others to ``train``; ``all`` is the whole of it. A ``test`` part serves for
    ``val`` where there is no other.

    Args:
        path: Folder or CSV file.
        split: Part to read.
        whole: Whether to use all of a data set without parts, for any split.

    Raises:
        InputError: If the path is missing, has no such split, a class of the validation part is
            not in the training part, or it looks like none of the formats, saying what each
            would need.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    recognised = recognise_labelled(path)
    if recognised is None:
        why = f"not recognised as a classification data set.{refusal(path)} It should hold either "
        raise NotRecognised(path, f"{why}{LAYOUTS}")
    chosen, lone = choose_part(path, split, recognised[1])
    part = chosen.read(path)
    note_entries(part.files.tolist() if part.in_files else [])
    return hold_out(part, split) if lone and not whole else part


def recognise_labelled(path: Path) -> Found:
    """The reader of a format, and the parts that it finds; None if it is none of them.

    A set at the end of folders that hold one folder each, as unpacking makes them, is found, too.

    Raises:
        InputError: If a set is damaged, or what could be classes are sets of their own.
    """
    found = _recognised(path)
    if not path.is_dir() or not _is_one_class(found) or (inner := unpacked(path)) == path:
        return found
    deeper = _recognised(inner)
    if deeper is None or _is_one_class(deeper):
        return found
    return deeper[0], {split: replace(part, home=inner) for split, part in deeper[1].items()}


def _is_one_class(found: Found) -> bool:
    """Whether nothing is found, or one folder that could be a class, and is no set then."""
    if found is None or found[0] is not folders:
        return found is None
    return len(found[1]) == 1 and len(next(iter(found[1].values())).order) == 1


def _recognised(path: Path) -> Found:
    found = ((reader, reader.find_splits(path)) for reader in READERS.values())
    recognised = next(((reader, parts) for reader, parts in found if parts), None)
    if recognised is not None and recognised[0] is folders:
        _refuse_sets(path, recognised[1])
    return recognised


def _refuse_sets(path: Path, parts: dict[str, Part]) -> None:
    """Refuse a folder of data sets that were taken for classes, or of faces with a list.

    Raises:
        InputError: If it is one; the message states what was found.
    """
    part = next(iter(parts.values()))
    if part.where != path:
        return
    if told := attribute_list(path):
        raise NotRecognised(path, f"its folders are no classes: {told.name} lists attributes")
    classes = [path / name for name in part.order if is_folder(path / name)]
    others = [reader.find_splits for reader in READERS.values() if reader is not folders]
    sets = sets_within(classes, others)
    if sets and not are_described_classes(classes):
        names = joined(f"{shown(one.name)}/ ({why})" for one, why in sets.items())
        what = "is a set of its own" if len(sets) == 1 else "are sets of their own"
        beside = [shown(one.name) for one in classes if one not in sets]
        more = f", or another folder beside it: {first_of(beside)}" if beside else ""
        known = "; if its folders are the classes, list the images in a file labels.csv in it"
        hint = f"{known} (path,label)" if all(map(told_beside, sets)) else ""
        raise InputError(
            f"{path}: {names} {what}, and no class; name one that is meant{more}{hint}"
        )


def open_labelled_parts(path: Path) -> dict[str, LabelledData]:
    """All parts of a set, nothing held out; empty for one that is not recognised, and for shards.

    Raises:
        InputError: If it cannot be read.
    """
    if is_sharded(path) or not path.exists():
        return {}
    recognised = recognise_labelled(path)
    parts = {} if recognised is None else recognised[1]
    return {split: part.read(path) for split, part in parts.items()}


def has_labels(path: Path) -> bool:
    """Whether a path is known to carry a class per image, by more than its folders.

    Image folders alone say nothing: COCO's would be two classes, train2017 and val2017.
    """
    try:
        found = recognise_labelled(path)
    except ValueError:
        return False
    return found is not None and found[0] is not folders


def read_wanted(file: Path) -> list[str]:
    """A list of classes for :func:`choose_classes`: one per line, # comments.

    Raises:
        InputError: If the file is missing or no text.
    """
    lines = (line.partition("#")[0].strip() for line in read_text(file).splitlines())
    return [line for line in lines if line]
