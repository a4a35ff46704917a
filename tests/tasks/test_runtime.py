"""Exports in use: without torch, at any size, and clear about files that are none."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from tasks.export.onnx_file import write_facts, write_openvino
from tasks.runtime import openvino_session
from tasks.runtime.exported import Exported
from tasks.runtime.open import open_export, read_card
from tasks.runtime.openvino_session import OpenVinoSession
from tasks.runtime.session import CARD_KEY, FACTS_KEY
from tasks.weights.card import Card
from tests.exports import CLASSES, POST, Exports, photos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_no_torch_and_nothing_told(exports: Exports, tmp_path: Path) -> None:
    """Without torch; and the runtime keeps no notes at home to send to its makers."""
    files = [str(exports.file(kind)) for kind in ("classifier", "ssd", "faces", "places")]
    code = (
        "import sys, json; from pathlib import Path; import numpy as np\n"
        "from tasks.runtime.open import open_export\n"
        "image = np.arange(50 * 40 * 3, dtype=np.uint8).reshape(50, 40, 3)\n"
        "opened = [open_export(Path(file), 1) for file in sys.argv[1:]]\n"
        "print([(one.task, sorted(one([image])[0])) for one in opened])\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "heavy = {'torch', 'torchvision', 'onnx', 'safetensors', 'cv2', 'PIL', 'scipy'}\n"
        "assert not names & heavy, names & heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    assert "('detection', ['boxes', 'labels', 'scores'])" in done.stdout
    assert "('geolocation', ['probabilities'])" in done.stdout


def test_the_card_comes_along(exports: Exports) -> None:
    source = exports.source("attributes")
    exported = open_export(exports.file("attributes"), 1)
    assert exported.card == source.card == read_card(exported.path)
    assert exported.task == "face_attributes"
    assert exported.precision == "float32"
    assert exported.facts["thresholds"] == pytest.approx(source.model.thresholds.tolist())
    post = open_export(exports.file("ssd"), 1).facts["post"]
    assert post["detections"] == POST.detections
    with pytest.raises(ValueError, match="holds no cells"):
        _ = exported.cells


def test_cells_come_along(exports: Exports) -> None:
    cells = open_export(exports.file("places"), 1).cells
    np.testing.assert_array_equal(cells, exports.source("places").model.cells.numpy())


def test_answers_keep_the_order_of_photos(exports: Exports) -> None:
    """Neighbours of one size go through at once; the others one by one."""
    for kind in ("classifier", "faces"):
        exported = open_export(exports.file(kind), 1)
        a, b, c, d = (one for one in photos(2)[:4])
        mixed = [a, c, b, b, a, d]
        for image, found in zip(mixed, exported(mixed), strict=True):
            for name, value in exported([image])[0].items():
                np.testing.assert_allclose(found[name], value, atol=1e-5)
    assert exported.single
    assert exported([]) == []
    probabilities = open_export(exports.file("classifier"), 1)([a])[0]["probabilities"]
    assert probabilities.shape == (len(CLASSES),)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_boxes_without_padding(exports: Exports) -> None:
    exported = open_export(exports.file("ssd"), 1)
    blank = np.full((40, 70, 3), 128, np.uint8)
    for image in (*photos(), blank):
        found = exported([image])[0]
        assert len(found["boxes"]) == len(found["scores"]) == len(found["labels"])
        assert len(found["scores"]) <= POST.detections
        assert set(found["labels"].tolist()) <= {1, 2, 3}


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
    ],
)
def test_what_is_no_photo(exports: Exports, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"an image is .* not uint8 \(height, width, 3\)"):
        open_export(exports.file("classifier"), 1)([image])


def test_files_that_are_no_exports(exports: Exports, tmp_path: Path) -> None:
    whole = exports.file("classifier").read_bytes()
    contents = {
        "text.onnx": b"no model at all",
        "empty.onnx": b"",
        "cut.onnx": whole[: len(whole) // 2],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: not an ONNX file that runs here"):
            open_export(tmp_path / name)
    with pytest.raises(ValueError, match=r"gone\.onnx: no such file"):
        open_export(tmp_path / "gone.onnx")
    with pytest.raises(ValueError, match=r"exports end in \.onnx, .* or \."):
        open_export(tmp_path / "model.pt")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ValueError, match="no such file"):
        open_export(tmp_path / "folder.onnx")


def test_foreign_and_damaged_cards(exports: Exports, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    model = onnx.load(str(exports.file("classifier")))
    notes = {row.key: row.value for row in model.metadata_props}

    def opened(changed: dict[str, str]) -> Exported:
        onnx.helper.set_model_props(model, changed)
        onnx.save(model, str(file))
        return open_export(file, 1)

    assert Card.from_json(json.loads(notes[CARD_KEY])) == opened(notes).card
    with pytest.raises(ValueError, match="carries no card, so it is no export of this suite"):
        opened({"author": "someone"})
    with pytest.raises(ValueError, match="the card cannot be read"):
        opened({**notes, CARD_KEY: "{"})
    with pytest.raises(ValueError, match="the card cannot be read"):
        opened({**notes, CARD_KEY: json.dumps({"format": 2})})
    with pytest.raises(ValueError, match="the card cannot be read"):
        opened({**notes, FACTS_KEY: "[]"})
    newer = {**json.loads(notes[FACTS_KEY]), "format": 9}
    with pytest.raises(ValueError, match="an export of format 9; this version reads 1"):
        opened({**notes, FACTS_KEY: json.dumps(newer)})
    opened(notes)
    content = file.read_bytes().replace(b'"precision"', b'"pr\xffcision"')
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.onnx: damaged ONNX file \('utf-8' codec"):
        open_export(tmp_path / "m.onnx", 1)
    write_facts(file, {**json.loads(notes[FACTS_KEY]), "precision": "int8"})
    again = open_export(file, 1)
    assert again.precision == "int8"
    assert again.card == exports.source("classifier").card


def test_openvino_answers_threads_apart(tmp_path: Path) -> None:
    """The page asks one model from several threads at once."""
    pytest.importorskip("openvino")
    x = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, [None, None, None, 3])
    y = onnx.helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, None)
    nodes = [
        onnx.helper.make_node("Cast", ["images"], ["f"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMean", ["f"], ["sum"], keepdims=0),
    ]
    graph = onnx.helper.make_graph(nodes, "mean", [x], [y])
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset]), str(tmp_path / "mean.onnx"))
    write_openvino(tmp_path / "mean.onnx", {}, tmp_path / "mean.xml")
    session = OpenVinoSession(tmp_path / "mean.xml", 1)

    def ask(value: int) -> float:
        return float(session.run(np.full((1, 300, 300, 3), value, np.uint8))[0])

    values = list(range(1, 121))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, values)) == pytest.approx(values, abs=0.01)


def test_openvino_gives_its_first_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that ask first at once would wait for each other forever."""
    held: list[bool] = []

    def infer(images: list[Any]) -> list[Any]:
        held.append(openvino_session._first.locked())
        return images

    session = OpenVinoSession.__new__(OpenVinoSession)
    session.outputs = ["images"]
    request = SimpleNamespace(infer=infer)
    session._model = SimpleNamespace(create_infer_request=lambda: request)
    monkeypatch.setattr(openvino_session, "_answered", threading.Event())
    for _ in range(3):
        session.run(np.zeros((1, 2, 2, 3), np.uint8))
    assert held == [True, False, False]
