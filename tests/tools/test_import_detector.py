"""tools/import_weights.py on detectors of TensorFlow itself: checkpoints and frozen graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.detection.application import DETECTION
from tasks.detection.from_tflite import BOX_ORDER
from tasks.detection.ssd import SSD
from tasks.predictor import open_network
from tests.backbone import foreign
from tests.backbone.graph_files import Graph, write_graph_def
from tests.backbone.tflite_files import ALPHA, random_ssd
from tests.conftest import Tool
from tests.tools.mistakes import expect

_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}
_NORM["running_var"] = "moving_variance"
BOTH = pytest.mark.parametrize("kind", ["checkpoint", "graph"])


def names_of(model: SSD) -> dict[str, NDArray[Any]]:
    """As TensorFlow's Object Detection names the tensors, in its axis order."""
    state = {name: value for name, value in model.state_dict().items() if value.ndim}
    slim = foreign.slim_names(
        {**state, "head.2.weight": torch.ones(2, 64), "head.2.bias": torch.ones(2)}
    )
    found: dict[str, NDArray[Any]] = {
        f"FeatureExtractor/{name}": value for name, value in slim.items() if "Logits" not in name
    }
    for number in range(len(model.extras)):
        for part, kernel in enumerate(("1x1", "3x3_s2")):
            ours = f"extras.{number}.{part}"
            scope = (
                f"FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_{part + 1}_Conv2d_{number + 2}"
            )
            weight = state[f"{ours}.conv.weight"].numpy()
            scope = f"{scope}_{kernel}_{len(weight)}"
            found[f"{scope}/weights"] = weight.transpose(2, 3, 1, 0)
            for key, theirs in _NORM.items():
                found[f"{scope}/BatchNorm/{theirs}"] = state[f"{ours}.bn.{key}"].numpy()
    for level in range(6):
        for kind, theirs in (("box", "BoxEncodingPredictor"), ("class", "ClassPredictor")):
            for end, name in (("weight", "weights"), ("bias", "biases")):
                value = state[f"{kind}_predictors.{level}.{end}"].numpy()
                if kind == "box":  # The swap is its own inverse.
                    value = value.reshape(-1, 4, *value.shape[1:])[:, BOX_ORDER].reshape(
                        value.shape
                    )
                value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
                found[f"BoxPredictor_{level}/{theirs}/{name}"] = value
    return found


def write(folder: Path, kind: str, tensors: dict[str, NDArray[Any]]) -> Path:
    if kind == "checkpoint":
        first, slot = next(iter(tensors.items()))
        more = {f"{first}/Momentum": slot, "global_step": np.array(7, np.int64)}
        return foreign.write_bundle(folder / "model.ckpt", {**tensors, **more})
    graph = Graph()
    graph.add("image_tensor", "Placeholder", [], dtype=4, shape=[-1, -1, -1, 3])
    for name, value in tensors.items():
        graph.constant(name, np.ascontiguousarray(value))
    return write_graph_def(folder / "frozen_inference_graph.pb", graph)


@pytest.mark.slow
@BOTH
def test_tensorflows_detector_comes_in_whole(tool: Tool, tmp_path: Path, kind: str) -> None:
    original = random_ssd(3)
    source, out = write(tmp_path, kind, names_of(original)), tmp_path / "ssd.safetensors"
    status, text, err = tool("import_weights", source, "--out", out)
    assert status == 0, err
    assert "detector, 3 classes" in text
    assert "no runtime of TensorFlow's own files is supported" in text
    model, card = open_network(out, DETECTION)
    assert (card.model["alpha"], card.model["size"], card.folded) == (ALPHA, 300, False)
    assert card.flavour.input.mean == (0.5,) * 3
    theirs = original.state_dict()
    for key, value in model.state_dict().items():
        if value.ndim and not key.startswith("anchors"):
            assert torch.equal(value, theirs[key]), key
    labels = tmp_path / "names.txt"
    labels.write_text("ant\nbee")
    answer = tool("import_weights", source, "--labels", labels, "--out", out)
    expect(answer, str(source), "3 class columns, but 2 class names")
    expect(
        tool("import_weights", source, "--size", 96, "--out", out), "--size 96", "is a detector"
    )


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("FeatureExtractor/MobilenetV1/Conv2d_0/weights", "it has nothing for our 'body.layers.0"),
        ("BoxPredictor_3/BoxEncodingPredictor/biases", "lack 'box_predictors.3.bias'"),
        ("FeatureExtractor/MobilenetV1/Conv2d_5_depthwise/BatchNorm/beta", "lack 'body.layers.5."),
    ],
)
def test_a_detector_that_lacks_a_tensor_is_refused(
    tool: Tool, tmp_path: Path, kind: str, name: str, part: str
) -> None:
    tensors = names_of(random_ssd(3))
    del tensors[name]
    source = write(tmp_path, kind, tensors)
    expect(tool("import_weights", source, "--out", tmp_path / "o"), str(source), part)
    tensors[name] = np.ones(7, np.float32)
    source = write(tmp_path, kind, tensors)
    expect(tool("import_weights", source, "--out", tmp_path / "o"), str(source))
