"""Built-in shapes and breeds: deterministic, in the real layouts, told apart by traits alone."""

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from datasets.builtin import breed_drawing as breeds
from datasets.builtin.breed_drawing import BREEDS, draw_animal
from datasets.builtin.scenes import SHAPES
from datasets.builtin.shapes_and_breeds import draw_breeds, draw_shape, draw_shapes
from datasets.labels.checking import examine_labels
from datasets.labels.opening import open_labelled

TRAITS = ("ears", "muzzle", "coat", "tail")


@pytest.mark.slow
def test_shapes_on_disk(tmp_path: Path) -> None:
    root = draw_shapes(tmp_path / "shapes", num_train=2, num_val=1, size=48)
    train, val = open_labelled(root, "train"), open_labelled(root, "val")
    assert train.classes == val.classes
    assert set(train.classes.names) == set(SHAPES)
    assert train.counts.tolist() == [2] * 8
    assert val.counts.tolist() == [1] * 8
    assert not examine_labels(val, train, decode=True).findings
    assert train.image(0).shape == (48, 48, 3)
    before = {f: f.stat().st_mtime_ns for f in root.rglob("*.png")}
    draw_shapes(root, num_train=2, num_val=1, size=48)
    assert before == {f: f.stat().st_mtime_ns for f in root.rglob("*.png")}
    draw_shapes(root, num_train=1, num_val=1, size=48)
    assert len(open_labelled(root, "train")) == 8


@pytest.mark.slow
def test_breeds_on_disk(tmp_path: Path) -> None:
    root = draw_breeds(tmp_path / "breeds", num_train=2, num_val=1)
    train, val = open_labelled(root, "train"), open_labelled(root, "val")
    assert train.format == "stanford_dogs"
    assert train.classes.names == val.classes.names == tuple(breed.name for breed in BREEDS)
    assert (len(train), len(val)) == (24, 12)
    assert not set(train.files) & set(val.files)
    assert not examine_labels(val, train, decode=True).findings
    assert train.boxes is not None
    assert (train.boxes >= 0).all()
    assert (train.boxes <= 128).all()
    sides = train.boxes[:, 2:] - train.boxes[:, :2]
    assert (sides > 25).all()


@pytest.mark.parametrize("draw", [draw_shapes, draw_breeds])
def test_other_peoples_folders_are_left_alone(tmp_path: Path, draw: Callable[..., Path]) -> None:
    (tmp_path / "photo.jpg").write_text("precious")
    with pytest.raises(ValueError, match="holds something else"):
        draw(tmp_path, num_train=1, num_val=1)
    assert (tmp_path / "photo.jpg").read_text() == "precious"


def test_no_trait_alone_tells_a_breed() -> None:
    rows = [tuple(getattr(breed, trait) for trait in TRAITS) for breed in BREEDS]
    assert len(set(rows)) == len(BREEDS)
    for column in zip(*rows, strict=True):
        assert min(Counter(column).values()) >= 2
    apart = [sum(x != y for x, y in zip(a, b, strict=True)) for a, b in combinations(rows, 2)]
    assert apart.count(1) >= 6  # Pairs that one trait tells apart.


def test_pictures_are_functions_of_their_seed() -> None:
    def both(seed: int) -> tuple[bytes, bytes]:
        picture, _ = draw_animal(np.random.default_rng(seed), BREEDS[seed % 12], 64)
        return picture.tobytes(), draw_shape(np.random.default_rng(seed), "star", 32).tobytes()

    assert both(3) == both(3)
    assert both(3) != both(15)


@pytest.mark.slow
def test_the_box_fits_the_animal(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)
    monkeypatch.setattr(breeds, "background", lambda *_: grey.copy())
    monkeypatch.setattr(breeds, "clutter", lambda *_: None)
    for seed, breed in enumerate(BREEDS):
        picture, box = draw_animal(np.random.default_rng(seed), breed, 128)
        rows, columns = np.nonzero(np.abs(picture.astype(int) - 128).max(axis=2) > 45)
        painted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert box == pytest.approx(painted, abs=3)
