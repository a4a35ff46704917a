"""Graphs of a fixed shape: the same answers from squares that the host made."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.images import find_images, read_image
from datasets.squares import fit_square
from tasks import core_operators, operators
from tasks.core_operators import best_of, first_of, parted, suppress
from tasks.detection import postprocess
from tasks.detection.from_tflite import import_ssd
from tasks.export.onnx_file import write_onnx
from tasks.predictor import rows_of
from tasks.runtime.exported import Exported
from tasks.runtime.open import open_export
from tasks.runtime.session import CARD_KEY, FACTS_KEY
from tasks.runtime.square import boxes_on_photo
from tasks.square_graph import SquareGraph
from tests.exports import KINDS, Exports, photos


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 400),
    st.sampled_from((1, 3, 20)),
    st.sampled_from((0.05, 0.3, 1.0)),
    st.sampled_from((0.3, 0.6, 0.7)),
    st.integers(0, 999),
)
def test_suppression_is_torchvisions(
    count: int, classes: int, spread: float, max_iou: float, seed: int
) -> None:
    """On random boxes of some classes: dense ones, loose ones, and some without a side."""
    random = torch.Generator().manual_seed(seed)
    middles = torch.rand(1, count, 2, generator=random) * spread
    half = torch.rand(1, count, 2, generator=random) * 0.15 * spread
    half *= torch.rand(1, count, 2, generator=random) > 0.02
    labels = torch.randint(classes, (1, count, 1), generator=random)
    boxes = torch.cat((middles - half, middles + half), dim=2).clamp(0, 1) + labels * 2.0
    scores = torch.rand(1, count, generator=random).sort(descending=True).values
    with core_operators.core_operators():
        found = suppress(boxes, scores, 0.1, max_iou, count)
    assert torch.equal(found, operators.suppress(boxes, scores, 0.1, max_iou, count))
    for most in (1, 5, 40):
        best = operators.suppress(boxes, scores, 0.1, max_iou, most)
        assert torch.equal(best, found & (found.cumsum(1) <= most)), "the best survivors"


@pytest.mark.slow
def test_suppression_on_photos(
    real_data: Path, real_ssd_tflite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of TensorFlow's detector, with all 1,000 candidates of each photo of COCO."""
    model, _ = import_ssd(real_ssd_tflite)
    model.post = replace(model.post, score_threshold=0.0)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def noted(boxes: torch.Tensor, scores: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((boxes, scores))
        kept: torch.Tensor = operators.suppress(boxes, scores, *rest)
        return kept

    monkeypatch.setattr(postprocess, "suppress", noted)
    for file in find_images(real_data / "coco" / "val2017")[:40]:
        square = fit_square(read_image(file, upright=True), model.spec.size)
        with torch.inference_mode():
            model(torch.tensor(square).permute(2, 0, 1)[None])
    assert len(seen) >= 20
    for boxes, scores in seen:
        for max_iou in (0.3, 0.6):
            with core_operators.core_operators():
                found = suppress(boxes, scores, 0.0, max_iou, 1000)
            assert torch.equal(found, operators.suppress(boxes, scores, 0.0, max_iou, 1000))


def test_whole_numbers_in_core_operators() -> None:
    index = torch.arange(300_000)[None]
    for by in (1, 3, 80, 90):
        with core_operators.core_operators():
            anchor, label = parted(index, by)
        assert torch.equal(anchor, index // by)
        assert torch.equal(label, index % by)


@pytest.mark.parametrize(
    ("count", "number"), [(17_253, 100), (997, 30), (60, 60), (60, 90), (0, 5)]
)
@pytest.mark.parametrize("steps", [1e6, 10])
def test_the_best_of_many(count: int, number: int, steps: float) -> None:
    """In groups, in one (a prime number), all, and none; few steps make many equal values."""
    random = torch.Generator().manual_seed(0)
    values = (torch.randn(2, count, generator=random) * steps).round() / steps
    best, places = best_of(values, number)
    assert torch.equal(best, values.topk(min(number, count), dim=1).values)
    assert torch.equal(values.gather(1, places), best)
    assert [len(set(row)) for row in places.tolist()] == [best.shape[1]] * 2


def test_the_first_that_are_true() -> None:
    mask = torch.tensor([[False, True, False, True, True], [False, False, True, False, False]])
    found = first_of(mask, 4)
    assert found[0, :3].tolist() == [1, 3, 4]
    assert found[1, 0] == 2
    assert [len(set(row)) for row in found.tolist()] == [4, 4]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_answers_as_the_network(exports: Exports, kind: str) -> None:
    """In torch, on photos that the host makes squares of; boxes come in their pixels."""
    source = exports.source(kind)
    graph = SquareGraph(source.application, source.model, source.card)
    found = []
    for photo in photos():
        squares = [square(photo)[None] for square in graph.squares.values()]
        with torch.inference_mode():
            outputs = graph(*map(torch.tensor, squares))
        if "boxes" in graph.outputs:
            assert outputs[0].max() <= 1
        (row,) = rows_of_all(graph.outputs, outputs)
        row = boxes_on_photo(row, graph.squares, photo)
        found += rows_of({name: torch.from_numpy(value)[None] for name, value in row.items()})
    differences = source.differences(photos(), found, resized=False)
    assert max(differences.values()) < 1e-5


def rows_of_all(
    names: tuple[str, ...], outputs: tuple[torch.Tensor, ...]
) -> list[dict[str, np.ndarray]]:
    """Named outputs with their padding."""
    arrays = [output.numpy() for output in outputs]
    return [dict(zip(names, row, strict=True)) for row in zip(*arrays, strict=True)]


@pytest.mark.parametrize(
    "kind", ["attributes", *(pytest.param(k, marks=pytest.mark.slow) for k in ("ssd", "faces"))]
)
def test_a_file_of_a_fixed_shape(exports: Exports, kind: str, tmp_path: Path) -> None:
    """The export prepares photos of any size as its facts tell."""
    source, file = exports.source(kind), tmp_path / "square.onnx"
    graph = SquareGraph(source.application, source.model, source.card)
    write_onnx(graph, source.card, source.facts(), file)
    exported = open_export(file, 1)
    assert exported.single
    assert exported.facts["square"]["images"]["size"] == source.card.flavour.input.size
    images = photos()
    differences = source.differences(images, exported(images), resized=False)
    assert max(differences.values()) < 1e-5


class _Fixed:
    """A session that tells the square it is given, and one box: the left upper quarter."""

    outputs = ("boxes", "scores", "labels")
    single = True

    def __init__(self, notes: dict[str, str]) -> None:
        self.notes = notes
        self.given: np.ndarray = np.zeros(0)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        self.given = images
        boxes = np.array([[[0, 0, 0.5, 0.5], [0, 0.9, 1, 1], [0, 0, 0, 0]]], np.float32)
        return [boxes, np.array([[0.9, 0.8, 0]], np.float32), np.array([[2, 1, 0]])]


def test_boxes_return_to_the_photo(exports: Exports) -> None:
    """Of one that lies in the fill below a wide photo nothing is left."""
    card = exports.source("ssd").card
    told = {"size": 64, "fit": "whole", "keep_aspect": True}
    facts = {"format": 1, "square": {"images": told}}

    def answered(**change: object) -> tuple[_Fixed, dict[str, np.ndarray]]:
        notes = {**facts, "square": {"images": {**told, **change}}}
        session = _Fixed({CARD_KEY: json.dumps(card.to_json()), FACTS_KEY: json.dumps(notes)})
        (found,) = Exported(session, Path("a.onnx"))([np.full((40, 100, 3), 9, np.uint8)])
        return session, found

    session, found = answered()
    assert session.given.shape == (1, 64, 64, 3)
    assert found["boxes"].tolist() == [[0, 0, 50, 40]]
    assert found["labels"].tolist() == [2]
    _, found = answered(keep_aspect=False)
    np.testing.assert_allclose(found["boxes"], [[0, 0, 50, 20], [0, 36, 100, 40]])
    with pytest.raises(ValueError, match=r"a\.onnx: does not state how images are prepared"):
        answered(shape=3)


def test_views_tell_squares(exports: Exports) -> None:
    source = exports.source("classifier")
    square = source.application.network().view.square(source.card)
    told = json.loads(json.dumps(square.to_json()))
    assert type(square)(**told) == square == replace(square)
    assert told["interpolation"] == "bicubic"
