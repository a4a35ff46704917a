"""Labelled photos written as folders and shards are the photos that were read."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.labels.structure import LabelledData
from datasets.labels.writing import TARGETS, open_parts, write_labels
from datasets.types import ClassMap
from tests.datasets.converted import clean
from tests.datasets.label_fakes import save_photos, write_dogs, write_folders, write_tiny


def photos(data: LabelledData) -> Counter[tuple[bytes, str]]:
    """Content and class of each photo."""
    return Counter(
        (data.content(k)[0], data.classes.names[data.labels[k]]) for k in range(len(data))
    )


def write(
    target: str, parts: dict[str, Any], folder: Path, *, link: bool = False
) -> tuple[tuple[str, ...], dict[str, LabelledData]]:
    folder.mkdir()
    written = write_labels(TARGETS[target], parts, folder, link=link)
    back = open_parts(folder)
    assert {split: part["images"] for split, part in written.parts.items()} == {
        split: len(data) for split, data in back.items()
    }
    return written.notes, back


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    called=st.lists(clean, min_size=4, max_size=4, unique_by=str.lower),
    target=st.sampled_from(sorted(TARGETS)),
)
def test_photos_and_classes_are_the_same(labels: Any, called: list[str], target: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        save_photos(root / "in", [f"{k}.png" for k in range(len(labels))])
        files = np.array([str(root / "in" / f"{k}.png") for k in range(len(labels))])
        classes = ClassMap((0, 1, 2, 3), tuple(called))
        data = LabelledData("made", root / "in", files, np.array(labels), classes)
        plain = [one.replace(" ", "_").replace("/", "_").lower() for one in called]
        if target == "folders" and len({*plain}) < 4:
            return
        _, back = write(target, {"train": data, "val": data}, root / "out")
        for split in ("train", "val"):
            assert Counter(back[split].labels.tolist()) == Counter(labels)
            if not any("," in one for one in called) or target == "shards":
                assert back[split].classes.names == classes.names
                assert photos(back[split]) == photos(data)


def test_wordnet_ids_and_parts_stay(tmp_path: Path) -> None:
    for target in TARGETS:
        root = write_tiny(tmp_path / target)
        parts = open_parts(root)
        notes, back = write(target, parts, tmp_path / f"{target}-out")
        assert back.keys() == {"train", "val"}
        for split, data in back.items():
            assert photos(data) == photos(parts[split])
            assert data.classes.names == ("goldfish", "crane")
        assert notes == (() if target == "shards" else notes)


def test_boxes_are_told_to_be_lost(tmp_path: Path) -> None:
    parts = open_parts(write_dogs(tmp_path / "in"))
    notes, back = write("folders", parts, tmp_path / "out")
    assert notes[0] == "train: 3 boxes left out, which it cannot hold"
    assert back["train"].classes == parts["train"].classes  # By their WordNet ids.
    assert (tmp_path / "out/train/n02085620/n02085620_7.jpg").is_file()


def test_shards_come_back_as_folders(tmp_path: Path) -> None:
    parts = open_parts(write_folders(tmp_path / "in", {"a/x": 2, "b": 3}))
    _, sharded = write("shards", parts, tmp_path / "tars")
    notes, back = write("folders", sharded, tmp_path / "out", link=True)
    assert photos(back["train"]) == photos(parts["train"])
    assert notes == ()


def test_classes_that_are_no_folders(tmp_path: Path) -> None:
    save_photos(tmp_path / "in", ["0.png", "1.png"])
    files = np.array([str(tmp_path / "in" / f"{k}.png") for k in range(2)])
    for names in (("train", "__MACOSX"), (".x", "a b/c"), ("images", "Thumbs.db"), ("a, b", "c")):
        classes = ClassMap((0, 1), names)
        data = LabelledData("made", tmp_path / "in", files, np.array([0, 1]), classes)
        notes, back = write("folders", {"train": data}, tmp_path / f"out{names[0]}")
        of_file = dict(zip(map(Path, back["train"].files), back["train"].labels, strict=True))
        assert {file.name: label for file, label in of_file.items()} == {"0.png": 0, "1.png": 1}
        assert (back["train"].classes.names == names) == ("," not in names[0])
        assert bool(notes) == ("," in names[0])
    same = LabelledData("made", tmp_path, files, np.array([0, 1]), ClassMap((0, 1), ("a", "A")))
    with pytest.raises(ValueError, match="two classes would be one folder"):
        write("folders", {"train": same}, tmp_path / "case")


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_missing_photos_are_told(tmp_path: Path, target: str) -> None:
    parts = open_parts(write_folders(tmp_path / "in", {"a": 2, "b": 2}))
    Path(parts["train"].files[0]).unlink()
    notes, back = write(target, parts, tmp_path / "out")
    assert "1 images left out, whose file is missing" in notes[0]
    assert len(back["train"]) == 3
    for file in parts["train"].files[1:]:
        Path(file).unlink()
    with pytest.raises(ValueError, match="no image of the part train is there"):
        write(target, parts, tmp_path / "none")
