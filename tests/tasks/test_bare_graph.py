"""Networks alone: what the file tells is enough to answer as the model does, in other runtimes."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.bare_graph import BareInput
from tasks.export.bare_file import host_text, write_bare
from tasks.runtime.open import open_export
from tasks.runtime.square import Square
from tests.exports import KINDS, Exports, photos
from tools.flows.source import Source

pytestmark = pytest.mark.slow

Floats = NDArray[np.float32]
BARE = tuple(kind for kind in KINDS if kind != "faster_rcnn")
# Operators that converters know: nothing of photos, nothing of NMS.
PLAIN = {
    *("Conv", "Clip", "Relu", "LeakyRelu", "Add", "Mul", "Gemm", "MatMul", "ReduceMean"),
    *("Reshape", "Transpose", "Concat", "GlobalAveragePool", "Flatten", "Pad", "MaxPool", "Slice"),
}


def _written(source: Source, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A bare export, and what its host is told."""
    graph, file = source.bare(), folder / "bare.onnx"
    facts = {**source.facts(), "checked": {}}
    write_bare(graph, source.card, facts, file)
    return file, json.loads(host_text(graph, source.card, facts))


def _prepared(photo: NDArray[np.uint8], told: dict[str, Any]) -> Floats:
    """An input as a host makes it that has nothing but the .json."""
    pixels = Square(**told["square"])(photo).astype(np.float32)
    pixels = pixels[..., :: -1 if told["channels"] == "bgr" else 1]
    pixels = (pixels - np.float32(told["mean"])) / np.float32(told["std"])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def _softmax(values: Floats) -> Floats:
    shares = np.exp(values - values.max())
    return np.asarray(shares / shares.sum(), np.float32)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)


def _answer(told: dict[str, Any], raw: dict[str, Floats]) -> dict[str, Floats]:
    """Answers of a host that has nothing but the .json: the first output, and boxes as shares."""
    rows = {name: value[0] for name, value in raw.items()}
    if "embedding" in rows:
        return {"embedding": rows["embedding"] / np.linalg.norm(rows["embedding"])}
    if "thresholds" in told:
        return {"probabilities": _sigmoid(rows["logits"])}
    if "above" in told:
        parts = np.split(rows["logits"], np.cumsum(told["sizes"])[:-1])
        logs = [np.log(_softmax(part))[k] for part, k in zip(parts, told["above"], strict=True)]
        return {"probabilities": _softmax(sum(logs) / np.float32(told["temperature"]))}
    if "anchors" not in told:
        return {"probabilities": _softmax(rows["logits"])}
    x, y, w, h = np.array(told["anchors"], np.float32).T
    dx, dy, dw, dh = (rows["offsets"] / np.float32(told["coder"])).T
    middle, half = (
        np.stack((x + dx * w, y + dy * h)),
        np.stack((w * np.exp(dw), h * np.exp(dh))) / 2,
    )
    boxes = np.concatenate((middle - half, middle + half)).T.clip(0, 1)
    return {"boxes": boxes, "scores": _sigmoid(rows["logits"][:, 1:])}


@pytest.mark.parametrize("kind", BARE)
def test_opencv_and_the_told_numbers_do_for_an_answer(
    exports: Exports, tmp_path: Path, kind: str
) -> None:
    """OpenCV's DNN gives the network's own outputs, and the .json leads on to the answers."""
    source = exports.source(kind)
    file, told = _written(source, tmp_path)
    assert {node.op_type for node in onnx.load(str(file)).graph.node} <= PLAIN
    session, net = onnxruntime.InferenceSession(file), cv2.dnn.readNetFromONNX(str(file))
    names = [*told["outputs"]]
    assert [output.name for output in session.get_outputs()] == names
    images = photos()
    for image, wanted in zip(images, source.predict()(images), strict=True):
        given = _prepared(image, told["inputs"]["images"])
        raw = session.run(names, {"images": given})
        net.setInput(given, "images")
        for one, other in zip(raw, net.forward(names), strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()
        found = _answer(told, dict(zip(names, raw, strict=True)))
        if "boxes" not in found:
            (name,) = found
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-4)
            continue
        # Each box of the model's is among those, before any is suppressed.
        square = Square(**told["inputs"]["images"]["square"])
        boxes = square.on_photo(found["boxes"], image.shape[1], image.shape[0])
        assert len(wanted["boxes"])
        for box, score, label in zip(
            *(wanted[n] for n in ("boxes", "scores", "labels")), strict=True
        ):
            off = np.abs(boxes - box).max(axis=1) + np.abs(found["scores"][:, label - 1] - score)
            assert off.min() < 1e-2


def test_two_stages_have_no_bare_export(exports: Exports) -> None:
    with pytest.raises(InputError, match=r"Faster R-CNN is two networks, .* no bare export"):
        exports.source("faster_rcnn").bare()


def test_a_bare_export_is_no_whole_one(exports: Exports, tmp_path: Path) -> None:
    file, _ = _written(exports.source("classifier"), tmp_path)
    with pytest.raises(InputError, match="is a network alone"):
        open_export(file)


def test_values_of_an_input_are_told_in_its_channels_order(exports: Exports) -> None:
    source = exports.source("classifier")  # Blue comes first there, with three means.
    wanted = BareInput(Square(48, "centre"), source.card.flavour.input)
    image = np.full((60, 70, 3), (10, 20, 30), np.uint8)
    mean, std = source.card.flavour.input.mean, source.card.flavour.input.std
    for channel, value in enumerate((30, 20, 10)):
        expected = (value / 255 - mean[channel]) / std[channel]
        np.testing.assert_allclose(wanted(image)[0, channel], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["classifier", "places"])
def test_opencv_stops_at_a_whole_export(exports: Exports, kind: str) -> None:
    """Its DNN resizes the last two axes whatever the file says; it must not answer from that."""
    file = exports.file(kind)
    session = onnxruntime.InferenceSession(file)
    for image in photos():
        net = cv2.dnn.readNetFromONNX(str(file))
        net.setInput(image[None], "images")
        with pytest.raises(cv2.error, match="reshape2_layer"):
            net.forward()
    # Where nothing is to be resized it has nothing to misread.
    short = exports.source(kind).short_side
    image = np.random.default_rng(0).integers(0, 256, (short, short, 3), dtype=np.uint8)
    net.setInput(image[None], "images")
    (wanted,) = session.run(None, {"images": image[None]})
    np.testing.assert_allclose(net.forward(), wanted, atol=1e-5)
