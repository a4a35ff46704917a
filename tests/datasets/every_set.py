"""A small set in every layout of every kind of data that is read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from datasets.labels.opening import open_labelled
from datasets.shards.writing import write_shards
from tests.datasets import tool_sets
from tests.datasets.attribute_fakes import write_celeba, write_lfwa
from tests.datasets.box_sets import coco, voc, write, yolo
from tests.datasets.face_fakes import FOLDS, picture, write_pairs, write_people
from tests.datasets.fakes import GOOD_BOXES, write_coco, write_voc
from tests.datasets.label_fakes import (
    write_dogs,
    write_folders,
    write_pets,
    write_picture,
    write_tiny,
)
from tests.datasets.parquet_fakes import box_parquet, pictures, save_table
from tests.datasets.place_fakes import gps, photo, write_list
from tests.datasets.record_files import write_records


def _named(root: Path) -> None:
    write_people(root, dict.fromkeys("ABCDEF", 3))
    write_pairs(root, "3 1", *FOLDS)


def _csv(root: Path) -> None:
    write_folders(root, {"a": 3})
    (root / "list.csv").write_text("path,label\na/0.png,x\na/1.png,y\na/2.png,x\n")


def _sharded(root: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folders = write_folders(Path(name), {"a": 4, "b": 3})
        write_shards(open_labelled(folders, "all"), root, per_shard=4)


def _tagged(root: Path) -> None:
    for k in range(3):
        photo(root / f"{k}.jpg", gps(10.0 + k, 20.0))
    photo(root / "lost.jpg")


def _darknet(root: Path) -> None:
    yolo(root, None)
    (root / "classes.txt").write_text("car\nbus\n")


def _kaggle(root: Path) -> None:
    for name in ("00a.jpg", "00b.jpg"):
        write_picture(root / "train" / name)
    (root / "labels.csv").write_text("id,breed\n00a,pug\n00b,boxer\n")


def _metadata(root: Path) -> None:
    for name in ("0.jpg", "1.jpg"):
        write_picture(root / name)
    rows = [{"file_name": f"{k}.jpg", "label": "ab"[k]} for k in range(2)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


def _text(root: Path) -> None:
    for name in ("a/0.jpg", "a/1.jpg"):
        write_picture(root / name)
    (root / "train.txt").write_text("a/0.jpg 0\na/1.jpg 1\n")


def _parquet(root: Path) -> None:
    save_table(root / "train.parquet", {"image": pictures(3), "label": ["a", "b", "a"]})


def _utkface(root: Path) -> None:
    for name in ("26_1_0_20170116184024662", "1_0_2_20161219140623097"):
        write_picture(root / f"UTKFace/{name}.jpg.chip.jpg")


# Of every kind: how a set is written; pictures, annotation files and archives that are used.
SETS: dict[str, tuple[Callable[[Path], object], tuple[int, int, int]]] = {
    "coco": (lambda root: write(root, coco(root)), (6, 1, 0)),
    "coco-parts": (lambda root: write_coco(root, GOOD_BOXES), (2, 2, 0)),
    "voc": (write_voc, (2, 5, 0)),
    "voc-flat": (lambda root: voc(root, ["1", "2", "3"]), (3, 3, 0)),
    "yolo": (yolo, (6, 7, 0)),
    "folders": (lambda root: write_folders(root, {"cat": 3, "dog": 2}), (5, 0, 0)),
    "folder-parts": (
        lambda root: write_folders(root, {f"{p}/{c}": 2 for p in ("train", "val") for c in "ab"}),
        (4, 0, 0),
    ),
    "csv": (_csv, (3, 1, 0)),
    "tiny": (write_tiny, (6, 3, 0)),
    "dogs": (write_dogs, (3, 5, 0)),
    "pets": (write_pets, (2, 2, 0)),
    "shards": (_sharded, (0, 2, 2)),
    "celeba": (write_celeba, (4, 2, 0)),
    "lfwa": (write_lfwa, (12, 2, 0)),
    "people": (lambda root: write_people(root, dict.fromkeys("ABC", 2)), (6, 0, 0)),
    "lfw": (_named, (18, 1, 0)),
    "rec": (
        lambda root: write_records(root / "train.rec", [[picture(1), picture(2)], [picture(3)]]),
        (0, 1, 1),
    ),
    "places": (
        lambda root: write_list(root, [f"{k}.jpg,me{k},1{k},20" for k in "012"]),
        (3, 1, 0),
    ),
    "tags": (_tagged, (3, 0, 0)),
    "darknet": (_darknet, (6, 7, 0)),
    "box-csv": (tool_sets.table, (6, 1, 0)),
    "open-images": (tool_sets.open_images, (4, 3, 0)),
    "labelme": (tool_sets.labelme, (6, 6, 0)),
    "cvat": (tool_sets.cvat, (6, 1, 0)),
    "label-studio": (tool_sets.label_studio, (6, 1, 0)),
    "via": (tool_sets.via, (6, 1, 0)),
    "via-regions": (tool_sets.via_regions, (6, 1, 0)),
    "via-csv": (tool_sets.via_csv, (6, 1, 0)),
    "kitti": (tool_sets.kitti, (6, 6, 0)),
    "hugging-face": (tool_sets.hugging_face, (6, 1, 0)),
    "box-shards": (tool_sets.box_shards, (0, 1, 2)),
    "box-parquet": (box_parquet, (0, 0, 3)),
    "kaggle": (_kaggle, (2, 1, 0)),
    "metadata": (_metadata, (2, 1, 0)),
    "text": (_text, (2, 1, 0)),
    "parquet": (_parquet, (0, 0, 1)),
    "utkface": (_utkface, (2, 0, 0)),
}
# What has to be said of some, which could be something else.
TASKS = {"people": "identities", "lfw": "identities", "pets": "labels"}
