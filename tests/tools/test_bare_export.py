"""``tools/export.py --bare``: of one task and of several, and what does not go with it."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from datasets.images import save_image
from tests.conftest import Tool
from tests.exports import Exports, photos
from tests.tools.page_models import make_multi

pytestmark = pytest.mark.slow


def test_several_heads_are_one_file(tool: Tool, tmp_path: Path) -> None:
    """Heads that see alike share an input and a pass; boxes have theirs. OpenCV says the same."""
    run = make_multi(tmp_path / "several")
    status, text, err = tool("export", run, "--bare", "--json")
    assert status == 0, err
    result = json.loads(text)
    file = run / "model.bare.onnx"
    assert result["file"] == str(file)
    assert {*result["inputs"]} == {"images", "boxes_images"}
    assert max(result["checked"]["differences"].values()) < 1e-4
    told = json.loads((run / "model.bare.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    assert {*names} == {
        f"{head}_{out}" for head, one in told["heads"].items() for out in one["outputs"]
    }
    for head, one in told["heads"].items():
        assert one["inputs"] == ("boxes_images" if head == "boxes" else "images")
    rng = np.random.default_rng(0)
    given = {
        name: rng.normal(size=one["shape"]).astype(np.float32)
        for name, one in told["inputs"].items()
    }
    net = cv2.dnn.readNetFromONNX(str(file))
    for name, value in given.items():
        net.setInput(value, name)
    for one, other in zip(session.run(names, given), net.forward(names), strict=True):
        assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()


def test_what_does_not_go_with_it(
    exports: Exports, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, out = exports.source("classifier").file, tmp_path / "bare.onnx"
    for args, message in (
        (
            (weights, "--target", "openvino"),
            "--bare: is a float32 ONNX file, so --target openvino",
        ),
        ((weights, "--int8", "--calibrate", tmp_path), "so --int8 does not go with it"),
        ((exports.source("faster_rcnn").file, "--out", out), "Faster R-CNN is two networks"),
    ):
        status, _, err = tool("export", *args, "--bare")
        assert status == 2
        assert message in " ".join(err.split()), err
    # A file that answers otherwise gets no name, and an older one stays.
    out.write_bytes(b"older")
    monkeypatch.setattr(
        "tasks.bare_graph.BareInput.__call__", lambda *_: np.zeros((1, 3, 48, 48), np.float32)
    )
    status, _, err = tool("export", weights, "--bare", "--out", out)
    assert status == 2
    assert "logits differ by" in err
    assert out.read_bytes() == b"older"
    assert [one.name for one in tmp_path.iterdir()] == ["bare.onnx"]
    monkeypatch.undo()
    assert tool("export", weights, "--bare", "--out", out)[0] == 0
    save_image(tmp_path / "photo.png", photos()[0])
    status, _, err = tool("predict", out, tmp_path / "photo.png")
    assert status == 2
    assert "is a network alone (--bare)" in " ".join(err.split())
