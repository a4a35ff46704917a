"""The service with exports: answers as of the networks that they were made of."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from configs.serve import Serve
from datasets.images import Image, decode_image
from tasks.applications import photo_application
from tasks.detection.answer import Objects
from tasks.detection.spec import DetectOptions, PostSpec
from tasks.geolocation.application import GEOLOCATION
from tasks.geolocation.atlas import atlas_of
from tasks.geolocation.spec import DecodeSpec
from tasks.predictor import Model, Predictor, open_network
from tasks.runtime.exported import Exported
from tasks.runtime.open import read_card
from tasks.runtime.session import CARD_KEY, FACTS_KEY, FORMAT
from tests.tools.page_models import CLASSES, TASKS, make_models, photo
from tools.service.shelf import Shelf

FACTS: dict[str, Any] = {"format": FORMAT, "precision": "float32"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dict(zip(TASKS, make_models(tmp_path_factory.mktemp("runs")), strict=True))


class Stub:
    """A graph that says the same of every photo."""

    single = False

    def __init__(
        self, weights: Path, answer: dict[str, NDArray[Any]], facts: dict[str, Any]
    ) -> None:
        card = read_card(weights)
        self.outputs = list(answer)
        self.notes = {CARD_KEY: json.dumps(card.to_json()), FACTS_KEY: json.dumps(facts)}
        self._answer = answer

    def run(self, images: Image) -> list[NDArray[Any]]:
        return [np.stack([value] * len(images)) for value in self._answer.values()]


def stub(weights: Path, facts: dict[str, Any] | None = None, **answer: object) -> Exported:
    arrays = {name: np.asarray(value) for name, value in answer.items()}
    return Exported(Stub(weights, arrays, {**FACTS, **(facts or {})}), Path("stub.onnx"))


def picture() -> Image:
    return decode_image(photo(), "photo", upright=True)


def write_mean_colour(file: Path, weights: Path) -> None:
    """An export whose three classes are the more likely the more red, green, blue there is."""
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT),
            node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
            node("Div", ["means", "most"], ["shares"]),
            node("Softmax", ["shares"], ["probabilities"], axis=1),
        ],
        "colours",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", "h", "w", 3])],
        [onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["n", 3])],
        [
            onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            onnx.numpy_helper.from_array(np.array(255, np.float32), "most"),
        ],
    )
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    card = json.dumps(read_card(weights).to_json())
    onnx.helper.set_model_props(model, {CARD_KEY: card, FACTS_KEY: json.dumps(FACTS)})
    onnx.save(model, str(file))


@pytest.mark.slow
def test_an_export_is_found_and_asked(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "grid"  # A folder stands for what lies below it.
    folder.mkdir()
    write_mean_colour(folder / "colours.onnx", models["classification"])
    (folder / "note.xml").write_text("<annotation/>")  # OpenVINO's exports end so, too.
    shelf = Shelf(Serve(models=(folder,)))
    (row,) = shelf.describe()
    assert row["name"] == str(folder / "colours.onnx")
    assert "3 classes" in row["about"]
    means = picture().reshape(-1, 3).mean(axis=0) / 255
    wanted = sorted(np.exp(means) / np.exp(means).sum(), reverse=True)
    reply, network, draw = shelf.open(0).answer([picture()])
    assert [share for _, share in reply.rows] == pytest.approx(wanted, abs=1e-3)
    assert reply.summary == CLASSES[int(means.argmax())]
    assert reply.picture.shape[1] >= 640
    assert min(network, draw) > 0


def asked(exported: Exported, *options: object) -> Predictor:
    """The export as the page asks it."""
    application = photo_application(exported.task, exported.path)
    own = application.pick(options)
    return Model(application, exported.card, exported.path, own, export=exported).predictor("cpu")


@pytest.mark.slow
def test_objects(models: dict[str, Path]) -> None:
    boxes = np.array([[1, 2, 30, 40], [5, 5, 9, 9], [0, 0, 0, 0]], np.float32)
    answer = {"boxes": boxes, "scores": np.float32([0.9, 0.5, 0]), "labels": [2, 1, 0]}
    facts = {"post": asdict(PostSpec())}

    def found(least: float, photos: int) -> list[Objects]:
        exported = stub(models["detection"], facts, **answer)
        options = DetectOptions(post=PostSpec(score_threshold=least))
        return asked(exported, options)([picture()] * photos)

    sure = found(0.5, 2)
    assert [len(one.scores) for one in sure] == [1, 1], "as in a network, above the threshold"
    assert sure[0].labels.tolist() == [2]
    assert sure[0].boxes.tolist() == [[1, 2, 30, 40]]
    assert len(found(0.1, 1)[0].scores) == 2


@pytest.mark.slow
def test_attributes(models: dict[str, Path]) -> None:
    exported = stub(
        models["face_attributes"],
        probabilities=np.float32([0.2, 0.9, 0.6]),
        present=[False, True, False],
    )
    found = asked(exported)([picture()])[0]
    assert found.names == ["Smiling", "Wearing_Hat", "Eyeglasses"]
    assert found.probabilities == pytest.approx([0.9, 0.6, 0.2])
    assert found.present == [True, False, False]


def test_embeddings(models: dict[str, Path]) -> None:
    vector = np.float32([0.6, 0.8, 0, 0, 0, 0, 0, 0])
    found = asked(stub(models["face_embedding"], embedding=vector))([picture()] * 2)
    assert [one.tolist() for one in found] == [vector.tolist()] * 2


@pytest.mark.slow
def test_places(models: dict[str, Path]) -> None:
    """From probabilities with a zero among them as from the network's logits."""
    network, _ = open_network(models["geolocation"], GEOLOCATION)
    atlas = atlas_of(network.cells)
    shares = np.zeros(len(atlas.fine), np.float32)
    shares[:2] = 0.25, 0.75
    coded = atlas.to_tensor().numpy().astype("<i8").tobytes()
    facts = {"cells": base64.b64encode(coded).decode()}
    exported = stub(models["geolocation"], facts, probabilities=shares)
    found = asked(exported, DecodeSpec(decoding="mean"))([picture()])[0]
    assert found.cells == [1, 0]
    assert found.probabilities == pytest.approx([0.75, 0.25])
    assert (found.lat, found.lng) == pytest.approx((atlas.fine.lat[1], atlas.fine.lng[1]))
