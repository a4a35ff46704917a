"""``tools/export.py --postprocess tensorflow``: detectors in the form of TensorFlow's own."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from configs.deploy import Export
from datasets.images import save_image
from tasks.detection.postprocess import postprocess
from tasks.detection.spec import PostSpec
from tasks.detection.ssd import SSD
from tasks.detection.tensorflow_form import SuppressedAsTensorflow
from tasks.export.litert.writer import write_litert
from tasks.flag_values import flag_of
from tasks.runtime.open import open_export
from tasks.runtime.session import FACTS_KEY
from tasks.runtime.tensorflow_detections import DETECTIONS, read_detections
from tests.conftest import Tool
from tests.exports import POST, Exports, photos
from tests.litert import kinds_in, open_litert
from tests.tools.mistakes import expect
from tests.tools.page_models import make_multi
from tools.flows.source import Source

FORM = ("--target", "litert", "--postprocess", "tensorflow")
OPTIONS = [f"--{flag_of(name)}={value}" for name, value in vars(POST).items()]


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


def check_form(out: Path, source: Source, more: float) -> None:
    """Outputs and names are theirs; scores are nearly the network's."""
    names = [one["name"] for one in open_litert(out).get_output_details()]
    assert tuple(names) == DETECTIONS
    assert kinds_in(out)[-1] == "TFLite_Detection_PostProcess"
    found, wanted = open_export(out, 1)(photos()), source.predict()(photos())
    for one, other, photo in zip(found, wanted, photos(), strict=True):
        assert 0 < len(one["labels"]) <= 30
        assert one["boxes"].max() <= max(photo.shape[:2])
        assert abs(one["scores"].max() - other["scores"].max()) < more


@pytest.mark.slow
def test_a_detector_in_their_form(
    exports: Exports, tool: Tool, tmp_path: Path, album: Path
) -> None:
    """Compared with the network under that operator's rules, and used like every other export."""
    source, out = exports.source("ssd"), tmp_path / "model.tflite"
    status, text, err = tool("export", source.file, *FORM, *OPTIONS, "--out", out, "--json")
    assert status == 0, err
    assert max(json.loads(text)["checked"]["differences"].values()) < 1e-4
    check_form(out, source, 1e-4)
    # On two threads the operator would leave out the third class.
    rows = [open_export(out, threads)(photos())[0]["labels"] for threads in (1, 2)]
    assert rows[0].tolist() == rows[1].tolist()
    assert open_export(out, 1).precision == "float32"
    status, _, err = tool("predict", out, album, "--out", tmp_path / "found", "--no-draw")
    assert status == 0, err
    assert len(json.loads((tmp_path / "found" / "predictions.json").read_text())) > 0


@pytest.mark.slow
def test_their_form_in_8_bits(
    exports: Exports, tool: Tool, tmp_path: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bytes and with signed bytes: both are written from one file, quantised once."""
    source, signed, plain = exports.source("ssd"), tmp_path / "micro.tflite", tmp_path / "a.tflite"

    def write(onnx_file: Path, notes: dict[str, str], file: Path, **given: Any) -> None:
        write_litert(onnx_file, notes, file, **given)
        if json.loads(notes[FACTS_KEY])["precision"] == "int8":
            write_litert(onnx_file, notes, plain, **{**given, "micro": False})

    monkeypatch.setattr("tools.flows.targets.write_litert", write)
    more = ("--int8", "--micro", "--calibrate", album, "--out", signed)
    status, _, err = tool("export", source.file, *FORM, *OPTIONS, *more)
    assert status == 0, err
    for file, kind in ((signed, np.int8), (plain, np.uint8)):
        check_form(file, source, 0.1)
        assert open_litert(file).get_input_details()[0]["dtype"] == kind
        assert open_export(file, 1).precision == "int8"


def test_boxes_that_reach_over_the_edge_overlap_as_they_are() -> None:
    """The two rules by which that operator differs, on two boxes over the left edge.

    As decoded they overlap by .29, and cut off at the edge by .8.
    """
    boxes = torch.tensor([[-0.8, 0.2, 0.2, 0.8], [-0.1, 0.2, 0.25, 0.8]])
    anchors = torch.cat(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), dim=1)
    logits, offsets = torch.tensor([[[0, 2.0], [0, 1.0]]]), torch.zeros(1, 2, 4)
    shown = boxes.clamp(0, 1)
    for candidates, ours in ((2, 1), (1, 1)):
        post = PostSpec(nms_iou=0.6, candidates=candidates, detections=3)
        model = SimpleNamespace(
            raw=lambda _: (logits, offsets), anchors=anchors, spec=None, post=post
        )
        theirs = SuppressedAsTensorflow(cast(SSD, model))(torch.zeros(1, 3, 8, 8))
        torch.testing.assert_close(theirs.boxes[0, :2], shown)
        assert theirs.labels.tolist() == [[1, 1, 0]]
        torch.testing.assert_close(theirs.scores[0, :2], logits[0, :, 1].sigmoid())
        found = postprocess(logits, offsets, anchors, post)
        assert int((found.labels > 0).sum()) == ours


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
