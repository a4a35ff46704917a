"""The folder recogniser of classification and fine-grained recognition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import csv_list, folders, pets, stanford_dogs, tiny_imagenet
from datasets.labelled import LabelledData, hold_out
from datasets.spec import Split
from datasets.splitting import choose_part


def open_labelled(path: Path, split: Split) -> LabelledData:
    """Recognise a folder (or CSV file) and read one split of it.

    A set that has a training part only gives a fifth of each class, chosen by file name, to
    ``val``, and the others to ``train``; ``all`` is the whole of it. A ``test`` part serves for
    ``val`` where there is no other.

    Raises:
        ValueError: If the path is missing, has no such split, a class of the validation part is
            not in the training part, or it looks like none of the formats, saying what each
            would need.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    # The same two functions each, its own parts; the most particular layout first.
    readers: tuple[Any, ...] = (stanford_dogs, pets, tiny_imagenet, csv_list, folders)
    for reader in readers:
        found = reader.find_splits(path)
        if not found:
            continue
        chosen, lone = choose_part(path, split, found)
        part: LabelledData = reader.read(path, chosen)
        return hold_out(part, split) if lone else part
    raise ValueError(
        f"{path}: not recognised as a classification data set. It should hold either a folder of "
        "pictures per class, in train/ and val/ or as it is; or wnids.txt and "
        "val/val_annotations.txt (Tiny ImageNet); or Images/ beside train_list.mat or Annotation/ "
        "(Stanford Dogs); or images/ and annotations/trainval.txt (Oxford-IIIT Pets); or be a "
        ".csv file with the columns path and label"
    )


def read_wanted(file: Path) -> list[str]:
    """A list of classes for :func:`~datasets.labelled.choose_classes`: one per line, # comments.

    Raises:
        ValueError: If the file is missing.
    """
    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]
