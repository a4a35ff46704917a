"""Damaged exports: what they answer is compared with their card before anything relies on it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from backbone.typed_fields import refuse_other_types
from datasets.errors import InputError
from datasets.identities.opening import open_faces
from datasets.labels.tiny_imagenet import find_splits
from tasks.detection.application import DETECTION
from tasks.detection.spec import DetectOptions
from tasks.distillation.targets import TargetHeader
from tasks.runtime.open import open_export
from tasks.runtime.outputs import NamedOutputs, refuse_other_outputs
from tests.exports import Exports

FILE = Path("model.onnx")
BOXES = {"boxes": np.zeros((1, 5, 4)), "scores": np.zeros((1, 5)), "labels": np.zeros((1, 5), int)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"boxes": np.zeros((0, 5, 4))}, r"'boxes' is 0 x 5 x 4, not a row for each of 1 images"),
        ({"scores": np.float32(1)}, r"'scores' is a single number, not a row"),
        ({"boxes": np.zeros((1, 5, 3))}, r"'boxes' is 1 x 5 x 3, not four numbers for each box"),
        ({"scores": np.zeros((1, 4))}, r"'scores' is 1 x 4, not one for each of 5 boxes"),
        ({"labels": np.full((1, 5), 4)}, r"answers class 4, but its card has 3 classes"),
        ({"labels": np.full((1, 5), -1)}, r"answers class -1, but its card has 3 classes"),
    ],
)
def test_boxes_of_another_shape_are_refused(
    changed: dict[str, NDArray[np.float64]], message: str
) -> None:
    refuse_other_outputs(FILE, BOXES, 1, {"": 3})
    with pytest.raises(InputError, match=rf"^model\.onnx: .*{message}"):
        refuse_other_outputs(FILE, BOXES | changed, 1, {"": 3})


@pytest.mark.parametrize("name", ["boxes", "scores", "labels"])
def test_a_missing_output_is_named(name: str) -> None:
    left = {f"head_{key}": value for key, value in BOXES.items() if key != name}
    with pytest.raises(InputError, match=rf"has no output 'head_{name}'"):
        refuse_other_outputs(FILE, left, 1, {"head_": 3})


def test_probabilities_are_those_of_the_classes() -> None:
    found = {"probabilities": np.zeros((2, 7))}
    refuse_other_outputs(FILE, found, 2, {"": 7})
    refuse_other_outputs(FILE, found, 2, {"": 0})  # Of places: as many as there are cells.
    with pytest.raises(InputError, match="'probabilities' is 2 x 7, not 5 classes for each of 2"):
        refuse_other_outputs(FILE, found, 2, {"": 5})


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(InputError, match="a finite number is needed"):
        refuse_other_types({"looks": [10**400]}, TargetHeader)


def test_a_class_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val/val_annotations.txt").write_text("")
    for name in ("n01\0", "../n01"):
        (tmp_path / "wnids.txt").write_text(f"n00\n{name}\n")
        with pytest.raises(InputError, match=r"wnids\.txt: class .* cannot be the name of a file"):
            find_splits(tmp_path)


def test_an_output_that_is_asked_for_and_missing_is_named() -> None:
    found = NamedOutputs(FILE, {"prob": np.zeros(3)})
    assert found["prob"].shape == (3,)
    assert "probabilities" not in found
    with pytest.raises(InputError, match=r"model\.onnx: has no output 'prob.* \(it has prob\)"):
        _ = found["probabilities"]


def test_thresholds_that_are_missing_are_named(exports: Exports) -> None:
    exported = open_export(exports.file("ssd"), 1)
    facts = {name: value for name, value in exported.facts.items() if name != "post"}
    with pytest.raises(InputError, match=r"its thresholds cannot be read .* is missing"):
        DETECTION.answers(exported.card, facts, DetectOptions(), FILE)


def test_digits_of_other_scripts_are_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("1\nAda\t\u00b2\t2\nAda\t1\tBob\t2\n", encoding="utf-8")
    for person in ("Ada", "Bob"):
        (tmp_path / person).mkdir()
        for number in (1, 2):
            Image.new("RGB", (8, 8)).save(tmp_path / person / f"{person}_{number:04d}.jpg")
    with pytest.raises(InputError, match=r"pairs\.txt: line 2: neither name, number"):
        open_faces(tmp_path, "val")
