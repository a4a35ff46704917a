"""tools/import_weights.py on TensorFlow's detectors as tf2onnx writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from backbone.formats.network import CONVS
from tasks.detection.application import DETECTION
from tasks.detection.from_tflite import BOX_ORDER
from tasks.detection.ssd import SSD
from tasks.predictor import open_network
from tests.backbone.graph_files import HALVING
from tests.backbone.tflite_files import ALPHA, random_ssd
from tests.conftest import Tool
from tests.tools.mistakes import expect

pytest.importorskip("onnxruntime")
_TAPS = ("11.pointwise", "13.pointwise", "0.1", "1.1", "2.1", "3.1")


class _Writer:
    """A graph in the making: photos as bytes, scaled in the graph, and two results."""

    def __init__(self, state: Mapping[str, Tensor], named: bool, halving: str) -> None:
        self.state, self.named, self.halving = state, named, halving
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {"low": np.float32(0), "high": np.float32(6)}
        self.side = 300

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def array(self, value: Any) -> str:
        name = f"a{len(self.arrays)}"
        self.arrays[name] = np.asarray(value)
        return name

    def conv(self, x: str, ours: str, stride: int) -> str:
        norm = [self.state[f"{ours}.bn.{part}"].numpy() for part in ("weight", "bias")]
        mean, var = (self.state[f"{ours}.bn.running_{part}"].numpy() for part in ("mean", "var"))
        factor = norm[0] / np.sqrt(var + 1e-3)
        weight = self.state[f"{ours}.conv.weight"].numpy() * factor[:, None, None, None]
        more: dict[str, Any] = {"strides": [stride, stride]}
        more["group"] = len(weight) if ours.endswith("depthwise") else 1
        if weight.shape[-1] == 3:
            more["pads"] = [1, 1, 1, 1]
            if stride == 2 and self.side % 2 == 0 and self.halving == "same":
                more["pads"] = [0, 0, 1, 1]
        self.side = -(-self.side // stride)
        bias = self.array(norm[1] - mean * factor)
        x = self.add("Conv", [x, self.array(weight), bias], **more)
        return self.add("Clip", [x, "low", "high"])

    def predictor(self, x: str, kind: str, level: int, columns: int) -> str:
        weight = self.state[f"{kind}_predictors.{level}.weight"].numpy()
        bias = self.state[f"{kind}_predictors.{level}.bias"].numpy()
        if kind == "box":  # The swap is its own inverse.
            weight, bias = (
                one.reshape(-1, 4, *one.shape[1:])[:, BOX_ORDER].reshape(one.shape)
                for one in (weight, bias)
            )
        made = self.add("Conv", [x, self.array(weight)])
        theirs = "BoxEncodingPredictor" if kind == "box" else "ClassPredictor"
        if self.named:
            self.nodes[-1].name = f"BoxPredictor_{level}/{theirs}/Conv2D"
        made = self.add("Add", [made, self.array(bias[:, None, None])])
        made = self.add("Transpose", [made], perm=[0, 2, 3, 1])
        return self.add("Reshape", [made, self.array(np.array([1, -1, columns]))])

    def write(self, path: Path, columns: int) -> Path:
        x = self.add("Cast", ["image_tensor:0"], to=TensorProto.FLOAT)
        x = self.add("Resize", [x, "", self.array(np.ones(4, np.float32))])  # As the map's loop.
        x = self.add("Mul", [x, self.array(np.float32(2 / 255))])
        x = self.add("Sub", [x, self.array(np.float32(1))])
        x = self.add("Transpose", [x], perm=[0, 3, 1, 2])
        results: dict[str, list[str]] = {"box": [], "class": []}
        convs = [(f"body.layers.{name}", 2 if name in HALVING else 1) for name in CONVS]
        convs += [(f"extras.{k}.{part}", 1 + part) for k in range(4) for part in range(2)]
        for ours, stride in convs:
            x = self.conv(x, ours, stride)
            tap = ours.removeprefix("body.layers.").removeprefix("extras.")
            if tap in _TAPS and (ours.startswith("extras") or "." in ours[12:]):
                level = _TAPS.index(tap)
                results["class"].append(self.predictor(x, "class", level, columns))
                results["box"].append(self.predictor(x, "box", level, 4))
        boxes = self.add("Concat", results["box"], axis=1)
        scores = self.add("Sigmoid", [self.add("Concat", results["class"], axis=1)])
        ends = {"detection_boxes": boxes, "detection_scores": scores}
        for name, end in ends.items():
            self.nodes.append(helper.make_node("Identity", [end], [name], name))
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("image_tensor:0", TensorProto.UINT8, [1, 300, 300, 3])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ends],
            [numpy_helper.from_array(value, name) for name, value in self.arrays.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.save(model, path)
        return path


def write(path: Path, model: SSD, *, named: bool = True, halving: str = "same") -> Path:
    writer = _Writer(model.state_dict(), named, halving)
    return writer.write(path, 1 + model.num_classes)


@pytest.mark.slow
def test_a_detector_comes_in_and_is_compared_with_its_file(tool: Tool, tmp_path: Path) -> None:
    original = random_ssd(3)
    source, out = write(tmp_path / "ssd.onnx", original), tmp_path / "ssd.safetensors"
    status, text, err = tool("import_weights", source, "--out", out)
    assert status == 0, err
    assert "detector, 3 classes" in text
    found = re.search(r"against ONNX Runtime on built-in scenes: scores differ by (\S+)", text)
    assert found is not None
    assert float(found[1]) < 1e-4
    model, card = open_network(out, DETECTION)
    assert isinstance(model, SSD)
    assert (card.model["alpha"], card.model["size"], card.folded) == (ALPHA, 300, True)
    assert (card.flavour.padding, card.flavour.activation) == ("same", "relu6")
    assert card.flavour.input.mean == pytest.approx((0.5,) * 3)
    assert card.flavour.input.std == pytest.approx((0.5,) * 3)
    pictures = torch.randint(0, 256, (1, 3, 300, 300), dtype=torch.uint8)
    with torch.inference_mode():
        original.eval()
        # Another size than it was drawn for.
        features = original.body(original.normalize(pictures))
        both = zip(model.raw(pictures), original.from_features(features), strict=True)
        for ours, theirs in both:
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    labels = tmp_path / "names.txt"
    labels.write_text("ant\nbee")
    answer = tool("import_weights", source, "--labels", labels, "--out", out)
    expect(answer, str(source), "3 class columns, but 2 class names")


@pytest.mark.slow
def test_predictors_are_told_by_their_outputs_where_names_are_lost(
    tool: Tool, tmp_path: Path
) -> None:
    source = write(tmp_path / "ssd.onnx", random_ssd(2), named=False)
    status, text, err = tool("import_weights", source, "--out", tmp_path / "o.safetensors")
    assert status == 0, err
    assert "detector, 2 classes" in text
    assert re.search(r"scores differ by \S+e-0[5-9] at most, box offsets by \S+e-0[4-9]", text)
    source = write(tmp_path / "three.onnx", random_ssd(3), named=False)
    answer = tool("import_weights", source, "--out", tmp_path / "o.safetensors")
    expect(answer, str(source), "predictors of map 0 have 12 and 12 outputs", "is unknown")


@pytest.mark.slow
def test_what_is_no_such_detector_is_refused(tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "o.safetensors"
    source = write(tmp_path / "ssd.onnx", random_ssd(2))
    whole = onnx.load(source)
    cut = [node for node in whole.graph.node if "BoxPredictor_3/Class" not in node.name]
    del whole.graph.node[:]
    whole.graph.node.extend(cut)
    onnx.save(whole, source)
    expect(tool("import_weights", source, "--out", out), str(source), "not an SSD MobileNet v1")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    expect(tool("import_weights", source, "--out", out), str(source), "damaged ONNX file")
