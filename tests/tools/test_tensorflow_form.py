"""``tools/export.py --postprocess tensorflow``: detectors in the form of TensorFlow's own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.deploy import Export
from datasets.images import save_image
from tasks.runtime.open import open_export
from tasks.runtime.tensorflow_detections import DETECTIONS, read_detections
from tests.conftest import Tool
from tests.exports import Exports, photos
from tests.litert import kinds_in, open_litert
from tests.tools.mistakes import expect
from tests.tools.page_models import make_multi

FORM = ("--target", "litert", "--postprocess", "tensorflow")
POST = ("--score-threshold", 0.02, "--candidates", 300, "--detections", 30)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for number, photo in enumerate(photos(3)):
        save_image(folder / f"{number}.png", photo)
    return folder


def test_their_four_outputs_are_read_as_ours() -> None:
    boxes = np.array([[[0.1, -0.2, 0.5, 0.6], [0.2, 0.3, 1.4, 0.9], [7, 7, 7, 7]]], np.float32)
    classes, scores = np.array([[0, 2, 5]], np.float32), np.array([[0.9, 0.5, 0.4]], np.float32)
    placed, kept, labels = read_detections([boxes, classes, scores, np.array([2], np.float32)])
    np.testing.assert_allclose(
        placed[0], [[0, 0.1, 0.6, 0.5], [0.3, 0.2, 0.9, 1], [0, 0, 0, 0]], rtol=1e-6
    )
    np.testing.assert_allclose(kept[0], [0.9, 0.5, 0], rtol=1e-6)
    assert labels.tolist() == [[1, 3, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--int8",), ("--int8", "--micro")])
def test_a_detector_in_their_form(
    exports: Exports, tool: Tool, tmp_path: Path, album: Path, more: tuple[str, ...]
) -> None:
    """Compared with the network under that operator's rules, and used like every other export."""
    source, out = exports.source("ssd"), tmp_path / "model.tflite"
    given = (*FORM, *POST, *more, *(("--calibrate", album) if more else ()))
    status, text, err = tool("export", source.file, *given, "--out", out, "--json")
    assert status == 0, err
    if not more:
        assert max(json.loads(text)["checked"]["differences"].values()) < 1e-4
    names = [one["name"] for one in open_litert(out).get_output_details()]
    assert tuple(names) == DETECTIONS
    assert kinds_in(out)[-1] == "TFLite_Detection_PostProcess"
    if not more:  # On two threads the operator would leave out the third class.
        rows = [open_export(out, threads)(photos())[0]["labels"] for threads in (1, 2)]
        assert rows[0].tolist() == rows[1].tolist()
    exported = open_export(out, 1)
    assert exported.precision == ("int8" if more else "float32")
    found, wanted = exported(photos()), source.predict()(photos())
    for one, other, photo in zip(found, wanted, photos(), strict=True):
        assert 0 < len(one["labels"]) <= 30
        assert one["boxes"].max() <= max(photo.shape[:2])
        assert abs(one["scores"].max() - other["scores"].max()) < (0.1 if more else 1e-4)
    status, _, err = tool("predict", out, album, "--out", tmp_path / "found", "--no-draw")
    assert status == 0, err
    assert len(json.loads((tmp_path / "found" / "predictions.json").read_text())) > 0


@pytest.mark.slow
def test_boxes_that_reach_over_the_edge_overlap_as_they_are(exports: Exports) -> None:
    """The rule by which that operator differs: without it the model answers as it always does."""
    source = exports.source("ssd")
    form = source.application.network().tensorflow_form
    assert form is not None
    reference = form(source.model).reference
    squares = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 64))).float()
    with torch.inference_mode():
        ours, theirs = source.model(squares), reference(squares)
    assert theirs.boxes.shape == (2, source.model.post.detections, 4)
    assert (theirs.scores[:, 1:] <= theirs.scores[:, :-1]).all()
    assert ((theirs.labels > 0) == (theirs.scores > 0)).all()
    for one, other in zip(ours.scores, theirs.scores, strict=True):
        assert one[0] == pytest.approx(other[0].item(), abs=1e-6), "the best box is always kept"


@pytest.mark.slow
def test_who_has_no_such_form(exports: Exports, tool: Tool, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "model.tflite")
    for kind, message in (
        ("classifier", "--postprocess tensorflow: the weights are for classification"),
        ("faster_rcnn", "--postprocess tensorflow: is for networks of one stage (SSD)"),
    ):
        expect(tool("export", exports.source(kind).file, *FORM, *out), message)
    file = exports.source("ssd").file
    answer = tool("export", file, "--postprocess", "tensorflow", "--target", "onnx")
    expect(answer, "--postprocess tensorflow: goes with --target litert")
    run = make_multi(tmp_path / "several")
    expect(tool("export", run, *FORM, *out), "is for a detector alone, and", "has several heads")
    assert [one.name for one in tmp_path.iterdir()] == ["several"]


def test_every_kind_of_file_has_a_name_of_its_own() -> None:
    weights, photos = Path("run/model.safetensors"), Path("photos")
    kinds = [
        Export(weights),
        Export(weights, bare=True),
        Export(weights, int8=True, calibrate=photos),
        Export(weights, "litert"),
        Export(weights, "litert", postprocess="tensorflow"),
    ]
    for micro in (False, True):
        for form in ("plain", "tensorflow"):
            kinds.append(
                Export(
                    weights, "litert", int8=True, calibrate=photos, micro=micro, postprocess=form
                )
            )
    names = [one.out_file().name for one in kinds]
    assert len(set(names)) == len(names), names
    assert {"model.int8.tflite", "model.micro.tflite", "model.tensorflow.int8.tflite"} <= {*names}
