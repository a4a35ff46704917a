"""Imports beside their own files, and files that a runtime refuses or that are laid out oddly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbone.formats.partial import PartialFlavour
from backbone.formats.recognise import read_network
from datasets.errors import InputError
from tasks.classification.import_weights import import_network
from tasks.classification.original import LiteRtClassifier
from tasks.classification.reference_runtimes import Comparison, compare
from tasks.detection.from_tflite import LiteRtDetector, import_ssd
from tests.backbone import foreign
from tests.backbone.keras_files import layer, mobilenet, model, top, write_h5
from tests.backbone.tflite_files import (
    ALPHA,
    SIZE,
    SSD_SIZE,
    add_body,
    write_classifier,
    write_ssd,
)
from tests.backbone.tflite_writer import TfliteGraph
from tests.conftest import Tool

HALF = PartialFlavour(mean=(0.5,) * 3, std=(0.5,) * 3)


def pictures(size: int, count: int = 2) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=rng, dtype=torch.uint8)


def compared(file: Path, given: PartialFlavour | None = None) -> Comparison:
    network = read_network(file)
    imported = import_network(network, given)
    found = compare(file, network, imported, pictures(imported.card.flavour.input.size))
    assert not isinstance(found, str)
    return found


@pytest.mark.slow
def test_what_litert_refuses_is_said(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")

    def refuse(*_args: Any, **_more: Any) -> None:
        raise ValueError("Didn't find op for builtin opcode 'CONV_2D' version '9'. Older?\nMore.")

    write_classifier(tmp_path / "c.tflite")
    write_ssd(tmp_path / "s.tflite", classes=3)
    monkeypatch.setattr(interpreter, "Interpreter", refuse)
    with pytest.raises(InputError, match=r"c\.tflite: LiteRT cannot run this file: Didn't find"):
        LiteRtClassifier(tmp_path / "c.tflite")
    with pytest.raises(InputError, match=r"s\.tflite: LiteRT cannot run it \(Didn't find op"):
        LiteRtDetector(tmp_path / "s.tflite")
    answer = tool("import_weights", tmp_path / "s.tflite", "--out", tmp_path / "s.safetensors")
    assert answer[0] == 0, answer[2]
    assert "not compared with the original" in answer[1]
    assert "'CONV_2D' version '9'" in answer[1]


@pytest.mark.slow
def test_a_detector_of_signed_bytes_runs(tmp_path: Path) -> None:
    """Its post-processing takes floats, which have no scale."""
    pytest.importorskip("ai_edge_litert")
    write_ssd(tmp_path / "s.tflite", classes=3, signed=True)
    ours, _ = import_ssd(tmp_path / "s.tflite")
    runs = LiteRtDetector(tmp_path / "s.tflite")
    images = pictures(SSD_SIZE)
    with torch.inference_mode():
        (logits, offsets), (theirs, moves) = ours.raw(images), runs.raw(images)
    assert (offsets - moves).abs().max() < 0.2
    assert (logits.sigmoid() - theirs.sigmoid()).abs().max() < 0.06
    assert len(runs(images).boxes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("pooled", [True, False])
def test_a_litert_body_answers_with_features(tmp_path: Path, pooled: bool) -> None:
    pytest.importorskip("ai_edge_litert")
    graph = TfliteGraph((1, SIZE, SIZE, 3), quantised=False)
    x = add_body(graph, foreign.random_state(0, ALPHA), relu6=True)[32]
    if pooled:
        x = graph.pool(x)
        graph.reshape(x, (1, graph.shape(x)[-1]), "features")
    found = compared(graph.write(tmp_path / "b.tflite"), HALF)
    assert found.runtime == "LiteRT"
    assert abs(found.difference) < 1e-5


@pytest.mark.slow
def test_timms_folder_with_a_pickle(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    state = foreign.timm_names(foreign.random_state(6, 1.0))
    torch.save(state, tmp_path / "pytorch_model.bin")
    found = compared(tmp_path, PartialFlavour(size=64))
    assert found.runtime == "timm"
    assert found.difference < 1e-4


@pytest.mark.slow
def test_photos_that_keras_resizes_have_that_size(tmp_path: Path) -> None:
    _, layers, arrays = mobilenet()
    inside = layer("Resizing", "resizing", height=64, width=64)
    config = model([inside, *layers, *top("softmax")], size=96)
    assert read_network(write_h5(tmp_path / "m.h5", config, arrays)).stated.size == 64
    inside["config"]["width"] = np.int64(32).item()
    config = model([inside, *layers, *top("softmax")], size=96)
    assert read_network(write_h5(tmp_path / "m.h5", config, arrays)).stated.size is None
