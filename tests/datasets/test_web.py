"""Web folders find their classes by any spelling; copies of test photos leave."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.builtin import shapes_and_breeds as demo_labels
from datasets.builtin.breed_drawing import BREEDS, Breed
from datasets.builtin.shapes_and_breeds import draw_breeds, draw_web
from datasets.images import read_image, save_image
from datasets.labels.opening import open_labelled
from datasets.labels.structure import LabelledData, name_classes
from datasets.labels.web_photos import match_folders, read_web, remove_copies
from datasets.types import ClassMap
from tests.datasets.label_fakes import write_folders

DOGS = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02097474-Tibetan_terrier")
NAMES = {"n02085620-Chihuahua": "Chihuahua", "n02085782-Japanese_spaniel": "Japanese_spaniel"}


@pytest.fixture
def classes() -> ClassMap:
    return name_classes(DOGS, NAMES | {DOGS[2]: "Tibetan_terrier"})


@pytest.mark.parametrize(
    ("folder", "column"),
    [
        ("Chihuahua", 0),
        ("chihuahua", 0),
        ("n02085620", 0),
        ("n02085620-anything", 0),
        ("japanese spaniel", 1),
        ("JAPANESE-SPANIEL", 1),
        ("n99999999-tibetan terrier", 2),
        ("Tibetan_terrier.", 2),
    ],
)
def test_spellings(tmp_path: Path, classes: ClassMap, folder: str, column: int) -> None:
    write_folders(tmp_path, {folder: 1, "cats": 1})
    found = match_folders(tmp_path, classes)
    assert found.columns == {folder: column}
    assert found.unknown == ("cats",)


def test_two_folders_of_a_class_and_a_training_part(tmp_path: Path, classes: ClassMap) -> None:
    counts = {"train/chihuahua": 2, "train/n02085620": 1, "train/Tibetan terrier": 3, "test/x": 1}
    write_folders(tmp_path, counts)
    found = match_folders(tmp_path, classes)
    assert found.root == tmp_path / "train"
    data = read_web(found, classes)
    assert data.counts.tolist() == [3, 0, 3]
    assert data.classes is classes
    assert all(Path(file).is_file() for file in data.files.tolist())


def test_a_name_of_two_classes_is_none(tmp_path: Path) -> None:
    write_folders(tmp_path, {"crane": 1, "heron": 1})
    found = match_folders(tmp_path, ClassMap.from_names(["Crane", "c-rane", "heron"]))
    assert found.columns == {"heron": 2}
    assert found.unknown == ("crane",)


def test_numbers_are_no_wordnet_ids(tmp_path: Path) -> None:
    write_folders(tmp_path, {"1": 1, "cat": 1})
    assert match_folders(tmp_path, ClassMap.from_names(["cat", "dog"])).unknown == ("1",)


def test_folders_without_any_class(tmp_path: Path, classes: ClassMap) -> None:
    write_folders(tmp_path, dict.fromkeys(("ant", "bee", "cow", "dog"), 1))
    message = (
        rf"--web {tmp_path}: none of its 4 folders \(ant, bee, cow, \.\.\.\) is named like a "
        r"class of the data \(Chihuahua, Japanese_spaniel, Tibetan_terrier\)"
    )
    with pytest.raises(ValueError, match=message):
        match_folders(tmp_path, classes)
    with pytest.raises(ValueError, match="holds no folder of images per class"):
        match_folders(tmp_path / "ant", classes)
    with pytest.raises(ValueError, match="no such folder"):
        match_folders(tmp_path / "none", classes)


def blots(seed: int, size: int) -> np.ndarray:
    """A picture unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def save_all(folder: Path, seeds: range, size: int, suffix: str) -> LabelledData:
    for seed in seeds:
        place = folder / ("even" if seed % 2 == 0 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        save_image(place / f"{seed}.{suffix}", blots(seed, size), quality=50)
    return open_labelled(folder, "all")


def test_copies_and_damaged_photos_leave(tmp_path: Path) -> None:
    """Seeds 6 to 9 stand in both, small and recompressed in the web; one web photo is broken."""
    test = save_all(tmp_path / "test", range(6, 12), 120, "png")
    web = save_all(tmp_path / "web", range(10), 70, "jpg")
    broken = tmp_path / "web/odd/1.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    kept, removed = remove_copies(web, test, 10)
    assert sorted(Path(file).stem for file in kept.files) == ["0", "2", "3", "4", "5"]
    assert kept.labels.tolist() == [int(f) % 2 for f in (Path(n).stem for n in kept.files)]
    pairs = [(Path(one).stem, Path(other).stem) for one, other in removed.copies]
    assert sorted(pairs) == [(str(k), str(k)) for k in range(6, 10)]
    assert removed.damaged == (str(broken),)
    assert kept.left_out == 1


@pytest.mark.slow
def test_the_built_in_web(tmp_path: Path) -> None:
    """Every copy is found; a second drawing is the first."""
    size = {"size": 64, "seed": 3}
    val = open_labelled(draw_breeds(tmp_path / "b", num_train=1, num_val=3, **size), "val")
    root = draw_web(tmp_path / "w", num=3, copies=2, strays=1, **size)
    before = {file: file.read_bytes() for file in root.rglob("*.jpg")}
    assert len(before) == 12 * 5 + 1
    found = match_folders(root, val.classes)
    assert sorted(found.columns.values()) == list(range(12))
    web = read_web(found, val.classes)
    _, removed = remove_copies(web, val, 3)
    copies = {one: other for one, other in removed.copies if "seen_" in one}
    assert len(copies) == 24
    for one, other in copies.items():
        assert Path(other).parent.name.partition("-")[2].replace("_", " ").lower() in one
    draw_web(root, num=3, copies=2, strays=1, **size)
    assert before == {file: file.read_bytes() for file in root.rglob("*.jpg")}


@pytest.mark.slow
def test_as_many_labels_are_wrong_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With flat pictures whose grey says which breed they show."""

    def flat(_: np.random.Generator, breed: Breed, size: int) -> tuple[np.ndarray, np.ndarray]:
        grey = np.full((size, size, 3), 20 * BREEDS.index(breed), np.uint8)
        return grey, np.array((0.0, 0, size, size))

    monkeypatch.setattr(demo_labels, "draw_animal", flat)
    root = draw_web(tmp_path / "w", num=10, wrong=0.3, copies=1, strays=3, size=32)
    for column, breed in enumerate(BREEDS):
        folder = root / breed.name.replace("_", " ").lower()
        shown = {f.name: read_image(f, upright=True).mean() / 20 for f in folder.iterdir()}
        wrong = [name for name, value in sorted(shown.items()) if round(value) != column]
        assert wrong == ["0000.jpg", "0001.jpg", "0002.jpg"]
        assert len(shown) == 11
    assert len(list((root / "mixed breeds").iterdir())) == 3
