"""COCO's numbers from the command line, and files that anyone can score again."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasets.types import COCO_CLASSES
from tasks.detection.evaluator import MEANINGS
from tests.backbone.tflite_files import write_ssd
from tests.conftest import Tool
from tests.tools.conftest import Finished

pytestmark = pytest.mark.slow


def test_both_scorers_and_the_files_give_the_same_twelve_numbers(
    finished: Finished, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    shown = []
    for scorer in ("faster", "pycocotools"):
        out = tmp_path / scorer
        args = ("--data", scenes, "--scorer", scorer, "--out", out, "--json", "--workers", 0)
        status, text, err = tool("evaluate", finished.folder, *args)
        assert status == 0, err
        shown.append(json.loads(text)["metrics"])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "faster" / "ground_truth.json"))
        found = truth.loadRes(str(tmp_path / "faster" / "results.json"))
        scored = COCOeval(truth, found, "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    again = dict(zip(MEANINGS, scored.stats.tolist(), strict=True))
    for name in MEANINGS:
        assert shown[0][name] == pytest.approx(shown[1][name], abs=1e-9), name
        assert shown[0][name] == pytest.approx(again[name], abs=1e-9), name


def test_gives_the_numbers_of_the_run(
    finished: Finished, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    """Weights went through the card and back, in other batches."""
    file = finished.folder / "model.safetensors"
    args = ("--data", scenes, "--out", tmp_path, "--batch-size", 3, "--json")
    status, text, err = tool("evaluate", file, *args)
    assert status == 0, err
    for name, value in finished.result["metrics"].items():
        assert json.loads(text)["metrics"][name] == pytest.approx(value, abs=2e-3), name
    assert (tmp_path / "report.html").exists()


def test_a_table_for_people(finished: Finished, scenes: Path, tool: Tool, tmp_path: Path) -> None:
    file = scenes / "annotations" / "instances_val.json"
    status, text, err = tool("evaluate", finished.folder, "--data", file, "--out", tmp_path)
    assert status == 0, err
    assert "AP50" in text
    assert "triangle" in text
    assert f"report: {tmp_path / 'report.html'}" in text


def test_a_run_keeps_its_own_report(finished: Finished, scenes: Path, tool: Tool) -> None:
    before = (finished.folder / "report.json").read_bytes()
    status, _, err = tool("evaluate", finished.folder, "--data", scenes, "--out", finished.folder)
    assert status == 2
    assert "holds a run, whose own report would be lost" in err
    assert (finished.folder / "report.json").read_bytes() == before


def imported(tool: Tool, source: Path, out: Path) -> Path:
    """A detector of TensorFlow's as weights of ours."""
    pytest.importorskip("ai_edge_litert")
    status, text, err = tool("import_weights", source, "--out", out)
    assert status == 0, err
    assert "90 classes" in text
    return out


def test_imported_weights_answer_as_the_original_on_coco(
    real_ssd_tflite: Path, real_data: Path, tool: Tool, tmp_path: Path
) -> None:
    """Real images through ours and through TensorFlow's own runtime: the same COCO numbers.

    The original computes in 8 bits and suppresses overlaps by its own fast rule, hence .01.
    """
    pytest.importorskip("ai_edge_litert")
    ours = imported(tool, real_ssd_tflite, tmp_path / "ssd.safetensors")
    metrics = []
    for weights in (ours, real_ssd_tflite):
        args = ("--data", real_data / "coco", "--out", tmp_path / weights.suffix, "--json")
        status, text, err = tool("evaluate", weights, *args)
        assert status == 0, err
        metrics.append(json.loads(text)["metrics"])
    assert metrics[0]["AP"] > 0.23
    for name in ("AP", "AP50", "AP75"):
        assert metrics[0][name] == pytest.approx(metrics[1][name], abs=0.01), name


def test_imported_weights_answer_as_the_drawn_original(
    scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    """The same of a small random network, which finds something everywhere: box by box."""
    pytest.importorskip("ai_edge_litert")
    source = tmp_path / "drawn.tflite"
    write_ssd(source)
    listed = json.loads((scenes / "annotations" / "instances_val.json").read_text())
    names = dict(
        zip((row["id"] for row in listed["categories"]), COCO_CLASSES.names, strict=False)
    )
    for row in listed["categories"]:
        row["name"] = names[row["id"]]
    data = tmp_path / "coco"
    (data / "annotations").mkdir(parents=True)
    (data / "val").symlink_to(scenes / "val")
    (data / "annotations" / "instances_val.json").write_text(json.dumps(listed))
    ours = imported(tool, source, tmp_path / "ssd.safetensors")
    found = []
    for weights in (ours, source):
        out = tmp_path / weights.suffix
        status, _, err = tool("evaluate", weights, "--data", data, "--out", out, "--workers", 0)
        assert status == 0, err
        rows = json.loads((out / "results.json").read_text())
        best = {}
        for row in sorted(rows, key=lambda row: float(row["score"])):
            best[row["image_id"], row["category_id"]] = row["score"]
        found.append(best)
    assert len(found[0]) > 8
    shared = found[0].keys() & found[1].keys()
    assert len(shared) > 0.9 * len(found[0] | found[1])
    for key in shared:
        assert found[0][key] == pytest.approx(found[1][key], abs=0.06), key
