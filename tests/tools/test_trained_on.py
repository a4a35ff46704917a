"""Data that weights were trained on are known again, and no card tells where they lay."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backbone.flavour import Flavour
from configs.tools import Evaluate
from datasets.images import save_image
from datasets.types import ClassMap
from tasks.face_embedding.load import TrainedOn, digest_of
from tasks.face_embedding.spec import FaceSpec
from tasks.weights.card import Card
from tools.classification import data as classification
from tools.detection.data import part_to_score
from tools.detection.data import trained_on as detector_trained_on
from tools.face_embedding.data import name_of_all, open_part
from tools.geolocation import measured_part as geolocation

Case = tuple[
    Path, Callable[..., dict[str, Any]], Callable[[Path, dict[str, Any]], tuple[bool, str]]
]


def card_with(told: dict[str, Any]) -> Card:
    return Card("none", {}, Flavour(), ClassMap.from_names(["a"]), trained_on=told)


def photos(folder: Path, count: int) -> list[str]:
    """Small pictures of one tone each."""
    folder.mkdir(parents=True)
    for k in range(count):
        save_image(folder / f"{k}.png", np.full((8, 9, 3), k, np.uint8))
    return [f"{k}.png" for k in range(count)]


def boxes_in(root: Path) -> Path:
    names = photos(root / "images", 10)
    images = [{"id": k, "file_name": n, "width": 9, "height": 8} for k, n in enumerate(names)]
    rows = [{"id": k, "image_id": k, "category_id": 1, "bbox": [1, 1, 5, 5]} for k in range(10)]
    told = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "star"}]}
    (root / "boxes.json").write_text(json.dumps(told))
    return root


def folders_in(root: Path) -> Path:
    for name in ("cat", "dog"):
        photos(root / name, 10)
    return root


def places_in(root: Path) -> Path:
    names = photos(root / "images", 10)
    rows = [f"images/{name},{k},{k},author{k}" for k, name in enumerate(names)]
    (root / "places.csv").write_text("\n".join(["photo,lat,lng,author", *rows]))
    return root


@pytest.fixture(params=["detection", "classification", "geolocation"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    root = tmp_path / "of a person" / "mine"
    if request.param == "detection":
        return (
            boxes_in(root),
            detector_trained_on,
            lambda path, told: part_to_score(path, card_with(told))[1:],
        )
    if request.param == "classification":

        def measured(path: Path, told: dict[str, Any]) -> tuple[bool, str]:
            return classification.part_to_measure(Evaluate(path, path), path, card_with(told))

        return folders_in(root), classification.trained_on, measured
    return (
        places_in(root),
        geolocation.trained_on,
        lambda path, told: geolocation.part_to_measure(path, card_with(told)),
    )


@pytest.mark.slow
def test_a_copy_is_known_and_no_path_is_told(case: Case, tmp_path: Path) -> None:
    root, trained_on, measured = case
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "theirs")
    for whole, said in ((False, "that was held out"), (True, "memorised")):
        told = trained_on(root, whole=whole)
        assert told.keys() == {"name", "held_out", "digest"}
        assert "/" not in json.dumps(told)
        for path in (root, moved):
            assert measured(path, told) == (whole, measured(path, told)[1])
            assert said in measured(path, told)[1]


def test_other_truth_is_other_data(case: Case) -> None:
    root, trained_on, measured = case
    told = trained_on(root, whole=False)
    if (root / "cat").exists():
        (root / "cat" / "3.png").rename(root / "dog" / "moved.png")
    for file in (root / "boxes.json", root / "places.csv"):
        if file.exists():
            text = file.read_text()
            file.write_text(text.replace("[1, 1, 5, 5]", "[1, 1, 5, 6]").replace("3,3", "3,4"))
    said = measured(root, told)[1]
    assert "held out" not in said
    assert "on data of that name, but not on just these" in said


def test_older_cards_tell_a_path(case: Case, tmp_path: Path) -> None:
    root, _, measured = case
    file = root / "places.csv"
    lay = str((file if file.exists() else root).resolve())
    assert "that was held out" in measured(root, {"path": lay, "held_out": True})[1]
    moved = shutil.copytree(root, tmp_path / "moved")
    assert "held out" not in measured(moved, {"path": lay, "held_out": True})[1]
    assert "do not state what they were trained on" in measured(moved, {})[1]


def test_people_are_known_wherever_they_lie(tmp_path: Path) -> None:
    """Where some were left out of the training, too."""
    root = tmp_path / "of a person" / "people"
    for name in ("ann", "bob", "eve"):
        photos(root / name, 3)
    told = TrainedOn(name_of_all(root), None, digest_of(["ann", "bob"]))
    assert told.trained_on.split()[0] == "people"
    assert "/" not in told.trained_on
    moved = shutil.copytree(root, tmp_path / "moved")
    lay = replace(told, trained_on=str(root))
    for path, card, known in ((root, told, 3), (moved, told, 3), (root, lay, 3), (moved, lay, 0)):
        data, warning = open_part(path, "all", FaceSpec(alignment="none"), 64, card)
        assert len(data.classes) == 3
        assert warning.startswith("3 of the 3 people are in the data") == bool(known)


def test_older_digests_are_known(tmp_path: Path) -> None:
    """Of a list its lines, and of a folder's photos their names and sizes."""
    root = places_in(tmp_path / "places")
    lines = (root / "places.csv").read_bytes().splitlines()
    whole = b"".join(line + b"\n" for line in lines)
    told = {"path": "/gone", "held_out": True, "digest": hashlib.sha256(whole).hexdigest()}
    assert "that was held out" in geolocation.part_to_measure(root, card_with(told))[1]
    for path in (root / "places.csv").parent.glob("*.csv"):
        path.unlink()
    rows = [f"images/{k}.png {(root / f'images/{k}.png').stat().st_size}\n" for k in range(10)]
    told["digest"] = hashlib.sha256("".join(rows).encode()).hexdigest()
    assert "that was held out" in geolocation.part_to_measure(root, card_with(told))[1]
