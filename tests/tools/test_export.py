"""``tools/export.py``, and exports where the other tools take weights."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.builtin.faces import draw_faces
from datasets.builtin.identities import draw_identities
from datasets.builtin.places import draw_places
from datasets.images import save_image
from datasets.types import COCO_CLASSES
from tasks.flag_values import flag_of
from tasks.runtime.open import open_export
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.backbone.tflite_files import write_ssd
from tests.conftest import Tool
from tests.datasets.label_fakes import write_folders
from tests.exports import CLASSES, KINDS, POST, Exports, photos
from tests.tools.films import write_film

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for number, photo in enumerate(photos()):
        save_image(folder / f"{number}.png", photo)
    (folder / "4.jpg").write_text("no image")
    return folder


def test_an_export_is_checked_and_written(
    exports: Exports, tool: Tool, tmp_path: Path, album: Path
) -> None:
    shutil.copy(exports.source("ssdlite").file, tmp_path / "model.safetensors")
    flags = ("--score-threshold", 0.05, "--batch", 1, "--json", "--seed", 3)
    status, text, err = tool("export", tmp_path, *flags)
    assert status == 0, err
    result = json.loads(text)
    assert result["file"] == str(tmp_path / "model.onnx")
    assert result["checked"]["photos"] >= 4
    assert result["checked"]["differences"].keys() == {"boxes", "scores", "labels"}
    assert max(result["checked"]["differences"].values()) < 1e-3
    assert {file.name for file in tmp_path.iterdir()} == {"model.safetensors", "model.onnx"}
    exported = open_export(tmp_path / "model.onnx")
    assert exported.single
    assert exported.facts["checked"] == result["checked"]
    assert exported.facts["post"]["score_threshold"] == 0.05
    out = ("--out", tmp_path / "found", "--no-draw", "--json")
    status, text, err = tool("predict", exported.path, album, "--score-threshold", 0.2, *out)
    assert status == 0, err
    scores = [row["score"] for row in json.loads(text)["annotations"]]
    assert scores
    assert min(scores) >= 0.2


def test_a_file_that_answers_otherwise_is_refused(
    exports: Exports, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the exporter wrote is of other weights; an older export stays."""
    state, card = load_weights(exports.source("classifier").file)
    state["head.2.bias"][1] += 0.5
    save_weights(tmp_path / "other.safetensors", state, card)
    monkeypatch.setattr(
        "tools.flows.targets.write_onnx",
        lambda _graph, _card, _facts, file, **_: shutil.copy(exports.file("classifier"), file),
    )
    out = tmp_path / "out" / "model.onnx"
    status, _, err = tool("export", tmp_path / "other.safetensors", "--out", out)
    assert status == 2
    shown = " ".join(err.split())
    assert re.search(r"model\.onnx: not written: image 1 .* probabilities differ by 0", shown)
    assert not list(out.parent.iterdir())
    out.write_bytes(b"older")
    assert tool("export", tmp_path / "other.safetensors", "--out", out)[0] == 2
    assert out.read_bytes() == b"older"
    assert [file.name for file in out.parent.iterdir()] == ["model.onnx"]


def test_openvino(exports: Exports, tmp_path: Path, tool: Tool, album: Path) -> None:
    """Nobody is told that a file was translated and used; and what is none is refused."""
    pytest.importorskip("openvino", reason="OpenVINO is an extra")
    home, out = tmp_path / "home", tmp_path / "model.xml"
    home.mkdir()
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from tasks.runtime.openvino_session import OpenVinoSession, import_openvino, read_model\n"
        "source, out = map(Path, sys.argv[1:])\n"
        "import_openvino(source).save_model(read_model(source)[1], str(out))\n"
        "OpenVinoSession(out, 1).run(np.zeros((1, 40, 50, 3), np.uint8))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(exports.file("classifier")), str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert out.exists()
    assert not list(home.iterdir())
    (tmp_path / "voc.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    status, _, err = tool("predict", tmp_path / "voc.xml", album)
    assert status == 2
    assert "not a file that OpenVINO reads" in err


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ssdlite"])
def test_predictions_are_the_same(
    exports: Exports, tool: Tool, tmp_path: Path, album: Path, kind: str
) -> None:
    told = []
    for weights in (exports.source(kind).file, exports.file(kind)):
        post = ("--score-threshold", 0.3) if "ssd" in kind or "rcnn" in kind else ()
        out = tmp_path / weights.suffix[1:]
        status, _, err = tool("predict", weights, album, "--out", out, *post)
        assert status == 0, err
        assert "4.jpg" in err
        told.append(json.loads((out / "predictions.json").read_text()))
    assert {f.name for f in (tmp_path / "onnx").iterdir()} == {
        f.name for f in (tmp_path / "safetensors").iterdir()
    }
    numbers = [_numbers(one) for one in told]
    if "annotations" not in told[0]:
        assert numbers[0] == pytest.approx(numbers[1], abs=0.02)
        return
    best = [sorted((row["score"] for row in one["annotations"]), reverse=True) for one in told]
    assert best[0]
    assert best[0][:9] == pytest.approx(best[1][:9], abs=1e-3)


def _numbers(found: object) -> list[float]:
    """All numbers of a result, in order."""
    if isinstance(found, dict):
        return [n for key in sorted(found) if key != "region" for n in _numbers(found[key])]
    if isinstance(found, list):
        return [n for item in found for n in _numbers(item)]
    return [float(found)] if isinstance(found, int | float) else []


def test_a_video(exports: Exports, tool: Tool, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.avi", 5)
    out = ("--out", tmp_path / "out", "--score-threshold", 0.05, "--batch-size", 2)
    status, _, err = tool("predict", exports.file("ssd"), film, *out)
    assert status == 0, err
    assert (tmp_path / "out" / "film.mp4").exists()
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert len(found["images"]) == 5


def test_the_file_itself_is_measured(
    exports: Exports, tool: Tool, scenes: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every task on its own data: what is left of each photo is as of the model."""
    root = tmp_path_factory.mktemp("measured")
    people = {"num_identities": 67, "per_identity": 2, "num_pairs": 2}
    data = {
        "classifier": write_folders(root / "photos", {f"val/{n}": 4 for n in CLASSES.names}),
        "attributes": draw_faces(root / "faces", num_identities=12, per_identity=2, size=40),
        "faces": draw_identities(root / "people", **people, size=40),
        "places": draw_places(root / "places", num_photos=60, num_authors=20, size=40),
        "ssd": scenes,
    }
    columns = {
        "classifier": ["probability"],
        "attributes": [*exports.source("attributes").card.classes.names],
        "faces": ["distance"],
        "places": ["confidence"],
    }
    for kind, path in data.items():
        metrics, left = [], []
        for weights in (exports.source(kind).file, exports.file(kind)):
            out = root / kind / weights.suffix[1:]
            flags = ["--data", path, "--out", out, "--workers", 0, "--json"]
            if kind == "ssd":
                flags += [f"--{flag_of(name)}={value}" for name, value in vars(POST).items()]
            status, text, err = tool("evaluate", weights, *flags)
            assert status == 0, err
            metrics.append(json.loads(text)["metrics"])
            left.append([] if kind == "ssd" else _column_values(out, columns[kind]))
        assert metrics[0].keys() == metrics[1].keys()
        if kind == "ssd":  # Whose resize is the same to the last bit.
            assert metrics[0] == pytest.approx(metrics[1], abs=1e-3)
            continue
        assert left[0]
        assert left[0] == pytest.approx(left[1], rel=0.1, abs=2e-3), kind


def _column_values(folder: Path, columns: list[str]) -> list[float]:
    """Numbers of an evaluation's only CSV, row by row."""
    (file,) = folder.glob("*.csv")
    with file.open(newline="") as opened:
        return [float(row[name]) for row in csv.DictReader(opened) for name in columns]


def test_bad_flags(exports: Exports, tool: Tool, tmp_path: Path, album: Path) -> None:
    weights, file = exports.source("classifier").file, exports.file("classifier")
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "empty").mkdir()
    out = ("--out", tmp_path / "x.onnx")
    for args, message in (
        (("export", weights, "--int8"), "--int8 needs --calibrate"),
        (("export", weights, "--calibrate", album), "is for --int8, which was not given"),
        (("export", weights, "--max-drop", -1), "--max-drop -1.0 is not in 0..100"),
        (("export", weights, "--out", "x.pt"), "--out x.pt: a file for onnx ends in .onnx"),
        (("export", weights, "--nms-iou", 0.5, *out), "--nms-iou 0.5: the weights are for class"),
        (("export", weights, "--samples", "nowhere", *out), "--samples nowhere: no such file"),
        (("export", weights, "--samples", tmp_path / "empty", *out), "no images there"),
        (("export", tmp_path / "gone", *out), "gone: no such weights file or run folder"),
        (("export", file, *out), "is an export already"),
        (("predict", tmp_path / "text.onnx", album), "not an ONNX file that runs here"),
        (("evaluate", tmp_path / "text.onnx"), "not an ONNX file that runs here"),
        (("predict", file, album, "--proposals", 5), "--proposals 5: the weights are for"),
        (
            ("predict", exports.file("ssd"), album, "--proposals", 5),
            "--proposals 5: the weights are for an export, which has its own number",
        ),
        (("predict", Path("ssd.tflite"), album, "--head", "boxes"), "ssd.tflite: no such file"),
        (("predict", exports.file("ssd"), album, "--nms-iou", 0.3), "export it again with --nms"),
        (("predict", file, album, "--device", "cuda"), "--device cuda"),
    ):
        status, _, err = tool(*args)
        assert status == 2, (args, err)
        assert message in " ".join(re.sub(r"[│\s]+", " ", err).split()), err
    assert not (tmp_path / "x.onnx").exists()


def test_imported_weights(
    request: pytest.FixtureRequest, scenes: Path, tool: Tool, tmp_path: Path
) -> None:
    """TensorFlow's SSD, whose batch norm came folded, on real photos of sizes that fit nothing.

    A random network in its format, on drawn ones, stands in where there are no samples.
    """
    weights, photos, is_real = tmp_path / "ssd.safetensors", scenes / "val", True
    if "MOBILENETS_DATA" in os.environ:
        photos = request.getfixturevalue("real_data") / "photos"
        theirs = request.getfixturevalue("real_ssd_tflite")
    else:
        theirs, is_real = tmp_path / "drawn.tflite", False
        write_ssd(theirs)
    assert tool("import_weights", theirs, "--out", weights)[0] == 0
    status, text, err = tool("export", weights, "--samples", photos, "--json")
    assert status == 0, err
    assert max(json.loads(text)["checked"]["differences"].values()) < 1e-4
    args = (photos, "--out", tmp_path / "out", "--score-threshold", 0.3 if is_real else 0.01)
    status, text, err = tool("predict", weights.with_suffix(".onnx"), *args)
    assert status == 0, err
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())["annotations"]
    assert {row["category_id"] for row in rows} <= set(COCO_CLASSES.ids)
    if is_real:
        assert "cat" in text
        assert "hot dog" in text
    else:
        assert len({row["image_id"] for row in rows}) == 8
