"""Times stage by stage: how they are told apart and summed, and the tool on tiny models."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tasks.classification.application import CLASSIFICATION
from tasks.detection.application import DETECTION
from tasks.export.onnx_file import write_onnx
from tasks.timing import (
    GEMM_SIDE,
    WHOLE,
    Spread,
    gemm,
    spreads,
    stage_shares,
    stages_of,
    sum_by_stage,
    take_turns,
)
from tasks.weights.file import save_weights
from tests.conftest import Tool
from tools.speed.accuracies import Shape
from tools.speed.benchmarking import split_graph
from tools.speed.peak_memory import peak_memory
from tools.speed.subjects import GRAPH, random_source

TINY = Shape(CLASSIFICATION, "", 0.25, 32)
FAST = ("--rounds", "2", "--warmup", "1", "--threads", "1", "--batch-sizes", "1", "2", "--json")
STAGES = ["decode", "preprocess", "network", "post-process", "whole"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier as an export."""
    source = random_source(TINY)
    file = tmp_path_factory.mktemp("exports") / "tiny.onnx"
    write_onnx(source.graph(), source.card, source.facts(), file)
    return file


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models of two tasks as weights files."""
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for shape in (TINY, Shape(DETECTION, "ssd300", 0.25, 64)):
        source = random_source(shape)
        found[source.task] = folder / f"{source.task}.safetensors"
        save_weights(found[source.task], source.model.state_dict(), source.card)
    return found


def test_candidates_take_turns_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []

    def call(name: str) -> dict[str, float]:
        order.append(name)
        return {WHOLE: 1.0}

    calls = {name: lambda name=name: call(name) for name in "ab"}
    rows = list(take_turns(calls, 2, 1))
    assert order == list("ababab")
    assert [row is None for _, row in rows] == [True, True, False, False, False, False]


def test_medians_and_percentiles() -> None:
    rows = [{"decode": k / 1e3, "network": 0.02} for k in range(1, 12)]
    found = spreads(rows)
    assert found["decode"].ms == pytest.approx(6)
    assert (found["decode"].p10, found["decode"].p90) == pytest.approx((2, 10))
    assert found["decode"].spread == pytest.approx(8 / 6)
    assert found["network"].spread == pytest.approx(0)
    assert found[WHOLE].ms == pytest.approx(26)


def test_a_graph_is_told_in_parts_that_sum_to_it() -> None:
    stages = {"decode": Spread(1, 1, 1), GRAPH: Spread(10, 8, 14), WHOLE: Spread(11, 9, 15)}
    found = split_graph(stages, {"preprocess": 0.1, "network": 0.8, "post-process": 0.1})
    assert list(found) == STAGES
    assert found["network"] == Spread(8, pytest.approx(6.4), pytest.approx(11.2))


def test_stages_follow_from_what_depends_on_what() -> None:
    steps = [
        ("size", "Shape", ["photo"], "shape"),
        ("resize", "Resize", ["photo", "shape"], "picture"),
        ("body", "QLinearConv", ["picture"], "map"),
        ("act", "Relu", ["map"], "rectified"),
        ("scores", "Conv", ["rectified"], "logits"),
        ("rank", "TopK", ["logits"], "best"),  # Before the boxes are computed.
        ("boxes", "FusedGemm", ["rectified"], "offsets"),
        ("nms", "NonMaxSuppression", ["offsets", "best"], "kept"),
    ]
    nodes = [helper.make_node(op, reads, [out], name=name) for name, op, reads, out in steps]
    body = helper.make_graph([helper.make_node("Add", ["kept", "shape"], ["x"])], "body", [], [])
    nodes.append(helper.make_node("Loop", [], ["answer"], name="loop", body=body))
    stages = stages_of(helper.make_model(helper.make_graph(nodes, "graph", [], [])))
    groups = {stage: {n for n, s in stages.items() if s == stage} for stage in STAGES[1:4]}
    assert groups == {
        "preprocess": {"size", "resize"},
        "network": {"body", "act", "scores", "boxes"},
        "post-process": {"rank", "nms", "loop"},
    }


def test_a_stage_is_the_sum_of_its_operations_at_their_fastest() -> None:
    def event(name: str, dur: int) -> dict[str, Any]:
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur}

    events = [event("a", dur) for dur in (900, 5, 6)] + [event("inside a loop", 7)]
    events += [event("b", dur) for dur in (3, 2, 4)]
    events += [{"cat": "Session", "name": "model_run", "dur": 1000}]
    stages = {"a": "network", "b": "network", "c": "preprocess"}
    found = sum_by_stage(events, stages)
    assert found == {"preprocess": 0, "network": 7, "post-process": 0}


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_matrix_products_run(precision: str) -> None:
    seconds = gemm(precision, 1)()[WHOLE]
    assert 1e9 < GEMM_SIDE**3 / seconds < 1e14


@pytest.mark.slow
def test_profile_of_an_export(export: Path) -> None:
    photo = np.full((480, 640, 3), 99, np.uint8)
    shares = stage_shares(export, photo, 1, rounds=3)
    assert list(shares) == STAGES[1:4]
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares["preprocess"], shares["network"]) > 0.01


@pytest.mark.slow
def test_memory_of_an_export_is_without_torch(export: Path) -> None:
    peak = peak_memory(str(export), 1)
    assert peak is not None
    assert 20e6 < peak < 400e6
    assert peak_memory("nowhere.onnx", 1) is None


def read(tool: Tool, *args: object) -> Any:
    status, out, err = tool("benchmark", *args)
    assert status == 0, err
    return json.loads(out)


@pytest.mark.slow
def test_weights_an_export_and_peers(
    tool: Tool, tmp_path: Path, export: Path, weights: dict[str, Path]
) -> None:
    out = tmp_path / "times.json"
    flags = ("--peers", "--no-memory", *FAST, "--out", out)
    found = read(tool, weights["classification"], export, *flags)
    assert json.loads(out.read_text()) == found
    assert found["threads"] == 1
    assert found["photo"] == {"width": 640, "height": 480}
    ours, exported, *peers = found["models"]
    assert [row["runtime"] for row in (ours, exported)] == ["PyTorch", "ONNX Runtime"]
    assert "torchvision mobilenet_v3_large" in [row["name"] for row in peers]
    mult_adds = random_source(TINY).cost().mult_adds
    assert ours["mult_adds"] == exported["mult_adds"] == mult_adds
    for row in found["models"]:
        assert list(row["stages"]) == STAGES
        assert all(stage["ms"] > 0 for stage in row["stages"].values())
        assert set(row["photos_per_second"]) == {"1", "2"}
        floor = mult_adds_ms(row, found["peak_gmacs"]["float32"])
        assert row["floor_ms"] == pytest.approx(floor, rel=0.02, abs=2e-4)
    assert "profile" in exported["inside"]


def mult_adds_ms(row: Any, peak: float) -> float:
    return float(row["mult_adds"] / peak / 1e6)


@pytest.mark.slow
def test_a_detector_for_people(tool: Tool, weights: dict[str, Path]) -> None:
    flags = [flag for flag in FAST if flag != "--json"]
    status, text, err = tool("benchmark", weights["detection"], "--no-memory", *flags)
    assert status == 0, err
    assert re.search(r"post-process +[\d.]+ ms", text)
    assert "times that" in text
    assert "billion mult-adds a second: float32" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nowhere.onnx"], "nowhere.onnx: no such file"),
        (["nowhere"], "nowhere: no such weights file or run folder"),
        (["x.onnx", "--rounds", "0"], "--rounds 0 must be 1 or more"),
        (["x.onnx", "--photos", "nowhere"], "--images nowhere: no such file or folder"),
        (["x.onnx", "--batch-sizes", "0"], "--batch-sizes 0 must be 1 or more"),
        ([], "name a run folder, a weights file or an export"),
    ],
)
def test_mistakes_are_named(tool: Tool, flags: list[str], message: str) -> None:
    status, out, err = tool("benchmark", *flags)
    assert status == 2
    shown = " ".join(re.sub(r"[│╭╰─╮╯]", " ", out + err).split())
    assert message in shown


@pytest.mark.slow
def test_photos_that_cannot_be_read_are_named(
    tool: Tool, tmp_path: Path, weights: dict[str, Path]
) -> None:
    bad = tmp_path / "note.jpg"
    bad.write_text("no image")
    status, _, err = tool("benchmark", weights["classification"], "--photos", bad, *FAST)
    assert status == 2
    assert f"{bad}: not an image that can be read" in err
