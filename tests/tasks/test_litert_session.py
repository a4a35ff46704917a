"""What a LiteRT file carries, read without LiteRT; and its graph in use."""

import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tasks.export.litert.writer import write_litert
from tasks.runtime.litert_notes import carries_card, read_notes
from tasks.runtime.litert_session import LiteRtSession
from tests.backbone.tflite_files import write_classifier
from tests.litert import small_model

NOTES = {"card": '{"a": "é"}', "export": "[1]"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of two squares: their sums, in the order of the outputs' names turned round."""
    folder = tmp_path_factory.mktemp("litert")
    images = {
        "images": np.zeros((1, 4, 4, 3), np.uint8),
        "a_images": np.zeros((1, 2, 2, 3), np.uint8),
    }
    nodes = []
    for name, out in zip(images, ("z", "b"), strict=True):
        nodes.append(helper.make_node("Cast", [name], [f"{out}_real"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("ReduceSum", [f"{out}_real", "axes"], [out], keepdims=0))
    model = small_model(nodes, images, {"axes": np.array([1, 2, 3])}, ["z", "b"])
    onnx.save(model, folder / "small.onnx")
    write_litert(folder / "small.onnx", NOTES, folder / "small.tflite")
    return folder / "small.tflite"


def test_inputs_and_outputs_keep_their_order(file: Path) -> None:
    session = LiteRtSession(file, 1)
    assert session.outputs == ["z", "b"]
    assert session.notes == NOTES
    assert session.single
    z, b = session.run(np.full((1, 4, 4, 3), 2, np.uint8), np.full((1, 2, 2, 3), 200, np.uint8))
    assert (z.tolist(), b.tolist()) == ([96], [2400])


def test_threads_share_it(file: Path) -> None:
    session = LiteRtSession(file, 1)

    def run(number: int) -> float:
        square = np.full((1, 4, 4, 3), number, np.uint8)
        return float(session.run(square, np.zeros((1, 2, 2, 3), np.uint8))[0][0])

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(run, range(100))] == [48.0 * number for number in range(100)]


def test_cut_at_any_place(file: Path, tmp_path: Path) -> None:
    """It is refused before the runtime sees it, which would read beyond its end."""
    whole, cut = file.read_bytes(), tmp_path / "cut.tflite"
    for length in range(0, len(whole) - 8, 29):
        cut.write_bytes(whole[:length])
        assert carries_card(cut) in (True, False)
        with pytest.raises(ValueError, match=r"cut\.tflite: not a"):
            LiteRtSession(cut)


def test_files_of_others(tmp_path: Path) -> None:
    theirs, text = tmp_path / "theirs.tflite", tmp_path / "text.tflite"
    write_classifier(theirs)
    text.write_text("no model at all")
    assert read_notes(theirs) == {}
    assert not carries_card(theirs)
    assert not carries_card(text)
    assert not carries_card(tmp_path)
    assert not carries_card(tmp_path / "gone.tflite")
    for path, message in ((text, "not a LiteRT file"), (tmp_path, "cannot be read")):
        with pytest.raises(ValueError, match=message):
            read_notes(path)


def test_a_missing_package_is_named_with_its_extra(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ValueError, match="pip install ai-edge-litert, which this project's extra"):
        LiteRtSession(file)
    told = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "ai-edge-litert" in told["project"]["optional-dependencies"]["litert"][0]
