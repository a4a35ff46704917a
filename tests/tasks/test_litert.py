"""Networks written for LiteRT answer as their ONNX files do, in float32 and in 8 bits."""

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from tasks.detection.tensorflow_form import form_of
from tasks.export.litert.writer import write_litert
from tasks.export.onnx_file import write_onnx
from tasks.int8.remedies import Pictures, Search
from tasks.runtime.litert_notes import read_notes
from tasks.runtime.tensorflow_detections import DETECTIONS
from tasks.square_graph import SquareGraph
from tests.exports import Exports, photos
from tests.litert import converted, kinds_in, open_litert, run_litert, run_onnx, small_model
from tests.tasks.onnx_net import SIZE, card_of, classifier, network_of, pictures, to_onnx


def fixed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same for one photo."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    return model


def squares(count: int, size: int = SIZE) -> list[NDArray[np.uint8]]:
    """Smooth pictures, (1, S, S, 3)."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (count, 1, 4, 4, 3), dtype=np.uint8)
    return [one.repeat(-(-size // 4), 1).repeat(-(-size // 4), 2)[:, :size, :size]
            for one in coarse]  # fmt: skip


def in_8_bits(activation: str = "relu6") -> onnx.ModelProto:
    model = classifier(activation)
    seen = Pictures(pictures(24), pictures(8, seed=1))
    search = Search.begin(to_onnx(model), network_of(model), seen, lambda _: None)
    return fixed(search.state.quantised())


@pytest.mark.slow
def test_a_classifier(tmp_path: Path) -> None:
    source, target = converted(fixed(to_onnx(classifier())), tmp_path)
    for square in squares(3):
        wanted = run_onnx(source, {"images": square})["probabilities"]
        for plain in (False, True):
            found = run_litert(target, {"images": square}, plain=plain)["probabilities"]
            assert found.shape == (1, 5)
            np.testing.assert_allclose(found, wanted, atol=1e-5)
    kinds = kinds_in(target)
    assert not {"TRANSPOSE", "PAD", "RELU6"} & {*kinds}, "nothing is moved, activations are fused"


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu6", "relu", "leaky_relu:0.1"])
def test_a_classifier_in_8_bits(tmp_path: Path, activation: str) -> None:
    source, target = converted(in_8_bits(activation), tmp_path)
    kinds = kinds_in(target)
    assert kinds[0] == "QUANTIZE"
    assert not {"CAST", "SUB", "DIV", "MUL"} & {*kinds}, "the normalisation is the input's scale"
    assert kinds[-3:] == ["DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX"]
    assert kinds.count("DEQUANTIZE") == 1, "of the features; the last layer's weights stay small"
    names = [row["name"] for row in open_litert(target).get_tensor_details() if row["name"]]
    assert len({*names}) == len(names), "other tools know tensors by their names"
    entry = open_litert(target).get_input_details()[0]
    assert entry["dtype"] == np.uint8
    scale, zero = entry["quantization"]
    assert scale == pytest.approx(1 / 127.5)
    assert zero == 128
    assert target.stat().st_size < source.stat().st_size
    for square in squares(4):
        wanted = run_onnx(source, {"images": square})["probabilities"]
        for plain in (False, True):
            found = run_litert(target, {"images": square}, plain=plain)["probabilities"]
            np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.slow
def test_a_classifier_for_microcontrollers(tmp_path: Path) -> None:
    """Signed bytes come in; no weights become real numbers, which they only do per tensor."""
    source, target = converted(in_8_bits(), tmp_path)
    micro = tmp_path / "micro.tflite"
    write_litert(source, {}, micro, micro=True)
    kinds = kinds_in(micro)
    assert "FULLY_CONNECTED" not in kinds
    assert kinds.count("QUANTIZE") == kinds.count("DEQUANTIZE") == 1, "to 16 bits, and from them"
    assert kinds[-2:] == ["DEQUANTIZE", "SOFTMAX"]
    entry = open_litert(micro).get_input_details()[0]
    assert entry["dtype"] == np.int8
    assert entry["quantization"] == (pytest.approx(1 / 127.5), 0)
    for square in squares(4):
        signed = (square.astype(np.int16) - 128).astype(np.int8)
        wanted = run_litert(target, {"images": square}, plain=True)["probabilities"]
        found = run_litert(micro, {"images": signed}, plain=True)["probabilities"]
        np.testing.assert_allclose(found, wanted, atol=5e-3)  # The other rounds features again.
    onnx.save(fixed(to_onnx(classifier())), str(source))
    with pytest.raises(
        ValueError, match=r"model\.onnx: not for microcontrollers: it computes with"
    ):
        write_litert(source, {}, target, micro=True)
    ranked = [helper.make_node("TopK", ["x", "k"], ["y", "i"], name="best")]
    feeds = {"x": np.zeros((1, 9), np.float32)}
    onnx.save(small_model(ranked, feeds, {"k": np.array([2])}, ["y"]), str(source))
    with pytest.raises(ValueError, match=r"not for microcontrollers"):
        write_litert(source, {}, target, micro=True)


@pytest.mark.slow
def test_channels_in_the_opposite_order(tmp_path: Path) -> None:
    """In 8 bits the first layer's weights are turned; the photo is not."""
    model = in_8_bits()
    nodes = {node.output[0]: node for node in model.graph.node}
    turned = helper.make_node("Slice", ["planes", "last", "first", "one", "back"], ["turned"])
    for name, value in (("last", -1), ("first", -9), ("one", 1), ("back", -1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))
    nodes["floats"].input[0] = "turned"
    model.graph.node.insert([*model.graph.node].index(nodes["floats"]), turned)
    source, target = converted(model, tmp_path)
    assert not {"STRIDED_SLICE", "CAST"} & {*kinds_in(target)}
    for square in squares(3):
        wanted = run_onnx(source, {"images": square})["probabilities"]
        found = run_litert(target, {"images": square})["probabilities"]
        np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.slow
def test_channels_normalised_each_by_its_own(tmp_path: Path) -> None:
    """One scale cannot tell that: it is computed, then rounded."""
    model = in_8_bits()
    mean = next(one for one in model.graph.initializer if one.name == "mean")
    values = np.array([120, 127.5, 130], np.float32).reshape(1, 3, 1, 1)
    mean.CopyFrom(onnx.numpy_helper.from_array(values, "mean"))
    source, target = converted(model, tmp_path)
    assert kinds_in(target)[:4] == ["CAST", "SUB", "DIV", "QUANTIZE"]
    for square in squares(3):
        wanted = run_onnx(source, {"images": square})["probabilities"]
        found = run_litert(target, {"images": square})["probabilities"]
        np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_layer_in_8_bits_is_the_same_to_a_step(tmp_path: Path, stride: int, groups: int) -> None:
    """With PyTorch's padding, whose frame is filled with what stands for 0."""
    rng = np.random.default_rng(stride)
    feeds = {"x": rng.normal(0, 2, (1, 4, 8, 8)).astype(np.float32)}
    constants = {
        "w": rng.integers(-127, 128, (4, 4 // groups, 3, 3), dtype=np.int8),
        "w_scale": rng.uniform(0.01, 0.02, 4).astype(np.float32),
        "w_zero": np.zeros(4, np.int8),
        "b": rng.normal(0, 1, 4).astype(np.float32),
        "x_scale": np.array(0.05, np.float32),
        "x_zero": np.array(100, np.uint8),
        "y_scale": np.array(0.11, np.float32),
        "y_zero": np.array(120, np.uint8),
    }
    told = {"pads": [1] * 4, "strides": [stride] * 2, "group": groups}
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
        make("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xr"]),
        make("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wr"], axis=0),
        make("Conv", ["xr", "wr", "b"], ["y"], **told),
        make("QuantizeLinear", ["y", "y_scale", "y_zero"], ["yq"]),
        make("DequantizeLinear", ["yq", "y_scale", "y_zero"], ["out"]),
    ]
    source, target = converted(small_model(nodes, feeds, constants, ["out"]), tmp_path)
    wanted = run_onnx(source, feeds)["out"]
    for plain in (False, True):
        steps = np.abs(run_litert(target, feeds, plain=plain)["out"] - wanted) / 0.11
        assert steps.max() < 1.01
        assert (steps > 0.5).mean() < 0.02
    layer = "CONV_2D" if groups == 1 else "DEPTHWISE_CONV_2D"
    assert layer in kinds_in(target)


@pytest.mark.slow
def test_what_a_file_carries(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "model.tflite"
    onnx.save(fixed(to_onnx(classifier())), str(source))
    card = json.dumps(card_of(classifier()).to_json())
    write_litert(source, {"card": card, "export": "{}"}, target)
    assert read_notes(target) == {"card": card, "export": "{}"}
    with zipfile.ZipFile(target) as archive:
        assert archive.read("labels.txt").decode().split() == ["ant", "bee", "cow", "dog", "emu"]
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED
    again = tmp_path / "again.tflite"
    write_litert(source, {"card": card, "export": "{}"}, again)
    assert again.read_bytes() == target.read_bytes(), "the same network gives the same file"
    runner = open_litert(target).get_signature_runner("serving_default")
    assert [*runner.get_input_details()] == ["images"]
    assert [*runner.get_output_details()] == ["probabilities"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "model.tflite"

    def refused(model: onnx.ModelProto | bytes, match: str) -> None:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        source.write_bytes(data)
        with pytest.raises(ValueError, match=match):
            write_litert(source, {}, target)
        assert not target.exists()

    whole = to_onnx(classifier())
    refused(whole, r"model\.onnx: the shape of images is not fixed \(\?x32x32x3\)")
    whole = fixed(whole)
    refused(whole.SerializeToString()[:-300], r"model\.onnx: not an ONNX file that can be read")
    feeds = {"x": np.zeros((1, 4, 6, 6), np.float32)}
    make = helper.make_node
    unknown = [make("Softplus", ["x"], ["y"], name="odd"), make("Elu", ["y"], ["z"])]
    refused(small_model(unknown, feeds, {}, ["z"]),
            r"no operator for ONNX's Elu, Softplus \(the first is node odd\)")  # fmt: skip
    weight = {"w": np.zeros((4, 2, 3, 3), np.float32)}
    grouped = [make("Conv", ["x", "w"], ["z"], name="pairs", group=2)]
    refused(small_model(grouped, feeds, weight, ["z"]),
            r"Conv \(node pairs\) has 2 groups of 4 channels: 1 or all are known")  # fmt: skip
    feeds["w"] = weight["w"].repeat(2, 1)
    computed = [make("Conv", ["x", "w"], ["z"])]
    refused(small_model(computed, feeds, {}, ["z"]), r"has weights that are computed")
    source.unlink()
    with pytest.raises(ValueError, match=r"model\.onnx: cannot be read \(No such file"):
        write_litert(source, {}, target)


@pytest.mark.slow
def test_a_detector_that_ends_as_tensorflows(exports: Exports, tmp_path: Path) -> None:
    """Boxes, classes from 0, scores and their number; the same detections as ours."""
    source = exports.source("ssd")
    file, target = tmp_path / "raw.onnx", tmp_path / "model.tflite"
    form = form_of(source.model)
    graph = form.graph(source.application, source.model, source.card)
    write_onnx(graph, source.card, source.facts(), file)
    notes = {"card": json.dumps(source.card.to_json()), "export": "{}"}
    write_litert(file, notes, target, detections=form.end)
    plain = SquareGraph(source.application, source.model, source.card)
    for photo in photos():
        square = plain.squares["images"](photo)[None]
        with torch.inference_mode():
            boxes, scores, labels = (one[0].numpy() for one in plain(torch.from_numpy(square)))
        found = run_litert(target, {"images": square})
        assert [*found] == [*DETECTIONS]
        count = int(found["num_detections"][0])
        sides = found["detection_boxes"][0, :count, [1, 0, 3, 2]].T.clip(0, 1)
        alike = (
            (found["detection_classes"][0, :count] + 1 == labels[:, None])
            & (np.abs(found["detection_scores"][0, :count] - scores[:, None]) < 1e-4)
            & (np.abs(sides - boxes[:, None]).max(2) < 1e-4)
        )
        real = labels > 0
        assert alike[real].any(1).mean() > 0.95, "NMS of boxes that are not cut off at the edges"
    with zipfile.ZipFile(target) as archive:
        assert archive.read("labels.txt") == b"star\nring\nheart\n"
    other = small_model([helper.make_node("Relu", ["x"], ["y"])],
                        {"x": np.zeros((1, 4), np.float32)}, {}, ["y"])  # fmt: skip
    onnx.save(other, str(file))
    with pytest.raises(ValueError, match=r"raw\.onnx: has no tensor offsets and no class_scores"):
        write_litert(file, {}, target, detections=form.end)
