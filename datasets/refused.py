"""Formats that are known but not read: their names, and what to do instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from datasets.images import walk_files
from datasets.names import shown


@dataclass(frozen=True)
class Refused:
    """A format that is not read.

    Attributes:
        names: Pattern of its file names, in lower case.
        advice: What to do instead.
    """

    names: str
    advice: str


_ONCE = "read it by the program that wrote it, and write a folder of images per class"
REFUSED: dict[str, Refused] = {
    "TFRecord": Refused(r".*\.tfrecords?(-\d+-of-\d+)?", f"{_ONCE}, or COCO for boxes"),
    "LMDB": Refused(r"data\.mdb|.*\.lmdb", _ONCE),
    "HDF5": Refused(r".*\.(h5|hdf5)", _ONCE),
    "NumPy arrays": Refused(r".*\.np[yz]", _ONCE),
    "pickles (CIFAR)": Refused(r".*\.(pkl|pickle)|data_batch_\d|cifar-.*", _ONCE),
    "IDX (MNIST)": Refused(r".*[-.]idx[123]-ubyte(\.gz)?", _ONCE),
    "Arrow files": Refused(
        r".*\.(arrow|feather)",
        "write Parquet, which is: of a set that datasets.save_to_disk wrote, "
        'datasets.load_from_disk(PATH)["train"].to_parquet("train.parquet")',
    ),
    "archives": Refused(
        r".*\.(zip|rar|7z|tgz|(tar|json|jsonl|csv|tsv|xml|txt)\.(gz|bz2|xz|zst))",
        "unpack it",
    ),
    "videos": Refused(r".*\.(mp4|mov|avi|mkv|webm)", "write its frames as images"),
}
# Boxes in files that may accompany data that is read, by suffix.
BOXES_IN: dict[str, str] = {
    ".tar": "boxes in shards are read for detection alone, from a .json beside each image with "
    "annotations (bbox and category or category_id) or with boxes and labels, or from a .txt with "
    "YOLO's lines",
}
# Number of files to look at.
_LOOKED_AT = 1000


def refusal(path: Path) -> str:
    """A sentence about a known, unsupported format in a path; empty if there is none."""
    for file in islice(_files(path), _LOOKED_AT):
        for name, refused in REFUSED.items():
            if re.fullmatch(refused.names, file.name.lower()):
                return f" {shown(file)}: {name} are not read: {refused.advice}."
    return ""


def refused_boxes(path: Path) -> str:
    """A sentence about files in a path that may contain boxes that are not read; empty if none."""
    for file in islice(_files(path), _LOOKED_AT):
        if advice := BOXES_IN.get(file.suffix.lower()):
            return f"{shown(file)}: {advice}."
    return ""


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for folder, names in walk_files(path):
        yield from (Path(folder) / name for name in sorted(names))
