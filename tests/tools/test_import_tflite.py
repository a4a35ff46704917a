"""tools/import_weights.py on small random TensorFlow Lite files, which are always there."""

import json
from pathlib import Path

import pytest
import torch

from backbone.formats.recognise import read_network
from tasks.classification.application import CLASSIFICATION
from tasks.classification.import_weights import import_network
from tasks.detection.from_tflite import LiteRtDetector, import_ssd
from tasks.predictor import open_network
from tests.backbone.tflite_files import (
    ALPHA,
    SIZE,
    SSD_SIZE,
    folded,
    write_classifier,
    write_head,
    write_ssd,
)
from tests.conftest import Tool
from tests.tools.mistakes import expect

NAMES = ("heron", "crane", "kite", "crane", "wren")


@pytest.mark.slow
@pytest.mark.parametrize("headless", [False, True], ids=["whole", "in two files"])
def test_a_classifier_comes_in_whole(tool: Tool, tmp_path: Path, headless: bool) -> None:
    """Its weights to within half a step, its answers as LiteRT's, its background dropped."""
    pytest.importorskip("ai_edge_litert")
    source, out = tmp_path / "c.tflite", tmp_path / "c.safetensors"
    state = write_classifier(source, headless=headless)
    head = ("--head", write_head(tmp_path / "head.tflite")) if headless else ()
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(("background", *NAMES)))
    args = (*head, "--labels", labels, "--out", out, "--json")
    status, text, err = tool("import_weights", source, *args)
    assert status == 0, err
    model, card = open_network(out, CLASSIFICATION)
    assert card.classes.names == ("heron", "crane (class 2)", "kite", "crane (class 4)", "wren")
    assert (card.model["alpha"], card.model["size"], card.folded) == (ALPHA, SIZE, True)
    ours = model.state_dict()
    assert ours["head.2.weight"].shape[0] == len(NAMES)
    for key, theirs in (
        ("head.2.weight", state["head.2.weight"][1:]),
        ("body.layers.13.pointwise.conv.weight", folded(state, "body.layers.13.pointwise")[0]),
        ("body.layers.1.depthwise.conv.weight", folded(state, "body.layers.1.depthwise")[0]),
    ):
        step = float(theirs.max() - theirs.min()) / 255
        # Cut off, the background column may have widened the head's range.
        assert (ours[key] - theirs).abs().max() < 0.75 * step, key
    compared = json.loads(text)["compared"]
    assert compared["runtime"] == "LiteRT"
    assert compared["difference"] < 0.05
    assert compared["agreed"] == compared["pictures"] == 8


@pytest.mark.slow
def test_a_float_classifier_equals_its_original(tool: Tool, tmp_path: Path) -> None:
    """1e-5 against LiteRT, once the range of its input is told."""
    pytest.importorskip("ai_edge_litert")
    source, out = tmp_path / "f.tflite", tmp_path / "f.safetensors"
    write_classifier(source, quantised=False)
    asked = "this file states none of its conventions; give --mean R G B, --std R G B"
    expect(tool("import_weights", source, "--out", out), f"f.tflite: {asked}")
    flags = ("--mean", 0, 0, 0, "--std", 1, 1, 1, "--crop", 1)
    status, text, err = tool("import_weights", source, *flags, "--out", out, "--json")
    assert status == 0, err
    compared = json.loads(text)["compared"]
    assert compared["difference"] < 1e-5
    assert compared["agreed"] == compared["pictures"] == 8


@pytest.mark.slow
def test_a_head_needs_a_headless_file(tool: Tool, tmp_path: Path) -> None:
    whole, head = tmp_path / "whole.tflite", write_head(tmp_path / "head.tflite")
    write_classifier(whole)
    answer = tool("import_weights", whole, "--head", head, "--out", tmp_path / "o")
    expect(answer, f"{whole} has a classifier already")
    expect(tool("import_weights", head, "--out", tmp_path / "o"), "not a MobileNet v1")
    write_classifier(tmp_path / "body.tflite", headless=True)
    assert import_network(read_network(tmp_path / "body.tflite")).card.task == "body"


@pytest.mark.slow
def test_a_detector_comes_in_whole(tmp_path: Path) -> None:
    """Weights to within half a step, boxes in our order, and the answers of LiteRT."""
    pytest.importorskip("ai_edge_litert")
    original = write_ssd(tmp_path / "s.tflite", classes=3)
    model, card = import_ssd(tmp_path / "s.tflite")
    assert card.classes.names == ("class 1", "class 2", "class 3")
    assert (model.spec.alpha, model.spec.size, model.post.nms_iou) == (ALPHA, SSD_SIZE, 0.6)
    theirs = original.state_dict()
    for key, value in model.state_dict().items():
        if "predictors" in key and key.endswith("weight"):
            step = float(theirs[key].max() - theirs[key].min()) / 255
            assert (value - theirs[key]).abs().max() < 0.75 * step, key
    rng = torch.Generator().manual_seed(0)
    shape = (4, 3, SSD_SIZE, SSD_SIZE)
    images = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
    with torch.inference_mode():
        logits, offsets = model.raw(images)
        runs = LiteRtDetector(tmp_path / "s.tflite")
        their_logits, their_offsets = runs.raw(images)
        found = runs(images)
    # Bytes between -12.8 and 12.7, in steps of a tenth.
    assert (offsets - their_offsets).abs().max() < 0.2
    assert offsets.abs().max() > 0.5
    assert (logits.sigmoid() - their_logits.sigmoid()).abs().max() < 0.06
    assert len(found) == 3
    assert all(len(part) == 4 for part in found)
