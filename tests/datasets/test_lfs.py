"""Pointers of Git LFS are told wherever a file is read, with what fetches the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backbone.formats.recognise import read_network
from backbone.formats.tflite import read_tflite
from datasets.boxes.opening import open_detection
from datasets.errors import InputError
from datasets.identities.opening import open_faces
from datasets.images import probe_image, read_image
from datasets.json_files import read_json
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.lfs import refuse_pointer
from datasets.matlab import read_mat
from datasets.positions.columns import find_columns
from datasets.positions.opening import open_places
from datasets.shards.tar import open_shards
from datasets.text import read_text
from datasets.xml_files import read_xml
from datasets.yaml_files import read_yaml
from tasks.runtime.open import open_export, read_card
from tests.datasets.label_fakes import write_folders

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def _records(file: Path) -> object:
    file.with_suffix(".idx").write_text("0\t0\n")
    return open_faces(file, "train")


READERS: dict[str, Callable[[Path], object]] = {
    "photo.jpg": lambda file: read_image(file, upright=True),
    "probed.png": probe_image,
    "list.txt": read_text,
    "a.json": read_json,
    "coco.json": lambda file: open_detection(file, "train"),
    "a.yaml": read_yaml,
    "a.xml": read_xml,
    "a.mat": lambda file: read_mat(file, ("label",)),
    "places.csv": find_columns,
    "shard.tar": open_shards,
    "photos.parquet": lambda file: open_labelled(file, "train"),
    "faces.rec": _records,
    "faces.bin": lambda file: open_faces(file, "val"),
    "model.safetensors": read_card,
    "model.onnx": open_export,
    "foreign.pth": read_network,
    "foreign.tflite": read_tflite,
}


@pytest.mark.parametrize("name", READERS)
def test_a_pointer_is_told(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(POINTER)
    with pytest.raises(InputError, match="run git lfs pull") as caught:
        READERS[name](file)
    assert name in str(caught.value)


def test_photos_with_tags_in_them(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_text(POINTER)
    with pytest.raises(InputError, match=r"0\.jpg: .*run git lfs pull"):
        open_places(tmp_path, "train")


def test_the_doctor_refuses_a_set_of_pointers(tmp_path: Path) -> None:
    root = write_folders(tmp_path, {"a": 3, "b": 3})
    for file in root.rglob("*.png"):
        file.write_text(POINTER)
    found = recognise(root)
    with pytest.raises(InputError, match="run git lfs pull"):
        found.kind.examine(root, found.parts, CheckOptions()).raise_if_refused()


def test_other_files_are_none(tmp_path: Path) -> None:
    refuse_pointer(tmp_path / "missing")
    (tmp_path / "short").write_text("version")
    refuse_pointer(tmp_path / "short")
