"""The report of a classifier, where it looks, and its answers to pictures in memory."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from backbone.body import Body, Stage
from backbone.cost import Cost
from backbone.flavour import Flavour
from backbone.spec import BackboneName
from datasets.types import ClassMap, LabelBatch
from tasks.application import NoOptions
from tasks.body_spec import ClassifierSpec
from tasks.classification.answer import ClassAnswers
from tasks.classification.application import CLASSIFICATION
from tasks.classification.draw import draw_answer
from tasks.classification.evaluator import LabelEvaluator
from tasks.classification.gradcam import explainer, grad_cam, overlay
from tasks.classification.model import Classifier
from tasks.classification.report import ReportData, make_report
from tasks.predictor import Model, answered
from tasks.reporting.skeleton import RunFacts, write_report
from tasks.weights.card import Card
from tests.tasks.outputs import probabilities_of

Image = NDArray[np.uint8]


def small_classifier(num_classes: int = 3) -> Classifier:
    torch.manual_seed(0)
    return Classifier(ClassifierSpec(alpha=0.25, size=64), num_classes).eval()


def colour_classifier() -> Classifier:
    """Says how red (column 0) and how green (column 1) a picture is, in squares of 16 pixels."""
    model = small_classifier(2)
    model.body = Body([Stage(nn.Sequential(nn.AvgPool2d(16), nn.ReLU()), 16, 3)], Flavour())
    head = nn.Linear(3, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, -1, 0], [-1, 1, 0]]))
        head.bias.zero_()
    model.head, model.last_stride = nn.Sequential(model.body.make_neck()[0], head), 16
    return model.eval()


def painted() -> torch.Tensor:
    """Black, but red at the lower left and green at the upper right."""
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    image[0, 0, 48:, :16] = 255
    image[0, 1, :16, 48:] = 200
    return image


def test_heat_lies_on_the_corner_that_decides() -> None:
    model = colour_classifier()
    red, green = (
        grad_cam(model, painted(), torch.tensor([column]))[0].numpy() for column in (0, 1)
    )
    assert red.shape == (64, 64)
    assert red[56:, :8].min() > 0.99
    assert red[:32].max() == 0
    assert red[:, 32:].max() == 0
    assert green[:8, 56:].min() > 0.99
    assert green[32:].max() == 0
    # Red is the answer, so it is explained where nothing is asked.
    assert grad_cam(model, painted())[0].numpy() == pytest.approx(red)


def test_heat_takes_nothing_along() -> None:
    """No gradients, no statistics; and inference mode around it does no harm."""
    model = small_classifier()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    heat = grad_cam(model, images)
    with torch.inference_mode():
        assert torch.equal(grad_cam(model, images), heat)
    assert heat.shape == (2, 64, 64)
    assert not heat.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in get_args(BackboneName) if n != "mobilenet_v1"])
def test_every_body_can_be_asked(name: BackboneName) -> None:
    model = Classifier(ClassifierSpec(backbone=name, size=96), 4).eval()
    heat = grad_cam(model, torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8))
    assert heat.shape == (1, 96, 96)
    assert bool(heat.isfinite().all())
    assert float(heat.amin()) >= 0
    assert float(heat.amax()) <= 1


def test_overlay_keeps_the_photo_where_it_is_cold() -> None:
    image = np.full((30, 40, 3), 90, dtype=np.uint8)
    heat = np.zeros((3, 4), dtype=np.float32)
    heat[0, 0] = 1
    drawn = overlay(image, heat)
    assert drawn.shape == image.shape
    assert (drawn[15:, 20:] == 90).all()
    assert drawn[0, 0, 0] > drawn[0, 0, 2] + 30  # Red.
    assert (image == 90).all()


def test_explainer_speaks_the_datas_columns() -> None:
    """The data's column 2 is the model's 0 (red), and 0 its 1 (green)."""
    image = painted()[0].permute(1, 2, 0).numpy()
    model = colour_classifier()
    same = explainer(model, "cpu", lambda picture: picture)
    other = explainer(model, "cpu", lambda picture: picture, np.array([2, 0]))
    assert np.array_equal(other(image, 2), same(image, 0))
    assert np.array_equal(other(image, 0), same(image, 1))
    assert same(image, 0).shape == (224, 224, 3)


def loader_of(images: torch.Tensor) -> list[LabelBatch]:
    count = len(images)
    return [
        {
            "images": images[start : start + 2],
            "targets": torch.zeros(2, dtype=torch.int64),
            "image_ids": list(range(start, min(start + 2, count))),
            "files": ["x.jpg"] * 2,
        }
        for start in range(0, count, 2)
    ]


@pytest.mark.slow
def test_evaluation_and_predictor_give_the_models_answer() -> None:
    network = small_classifier()
    images = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network(images).softmax(dim=1)
    classes = ClassMap.from_names(["cat", "dog", "fox"])
    flavour = network.body.flavour.sized(64)
    card = Card(CLASSIFICATION.name, network.spec.to_json(), flavour, classes)
    model = Model(CLASSIFICATION, card, Path("m.safetensors"), NoOptions(), network=network)
    ids, parts = zip(*answered(model, loader_of(images), "cpu", "test"), strict=True)
    assert [k for part in ids for k in part] == list(range(5))
    found = [row["probabilities"] for part in parts for row in part]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    predictor = model.predictor("cpu")
    answers = predictor(list(images.permute(0, 2, 3, 1).numpy()))
    for answer, row in zip(answers, expected, strict=True):
        best = row.argsort(descending=True)
        assert answer.names == [classes.names[k] for k in best]
        assert answer.probabilities == pytest.approx(row[best].tolist(), abs=1e-4)
    assert predictor([]) == []
    two = ClassAnswers(classes.names, top=2).read({"probabilities": expected[0].numpy()})
    assert two.names == answers[0].names[:2]


@pytest.mark.parametrize("size", [(8, 8), (33, 20), (20, 300), (300, 20), (480, 640), (1, 1)])
def test_answers_can_be_drawn_on_any_picture(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 200, dtype=np.uint8)
    drawn = draw_answer(image, ["Käfer", "a very long name " * 9], [0.75, 0.0], true="Käfer")
    height, width = drawn.shape[:2]
    assert max(height, width) >= 360
    assert height * width > size[0] * size[1]
    green = (drawn[..., 1].astype(int) - drawn[..., 0] > 60) & (drawn[..., 1] > 150)
    assert green.any()
    assert (image == 200).all()


def make_data(num_classes: int, **changes: Any) -> ReportData[Any]:
    """A report over random answers to random photos, one file for each."""
    rng = np.random.default_rng(3)
    classes = ClassMap.from_names([f"<class {k}>" for k in range(num_classes)])
    targets = rng.integers(0, num_classes, 60)
    logits = rng.normal(0, 1, (60, num_classes))
    logits[np.arange(60), targets] += 1.5
    columns = changes.pop("columns", None)
    evaluator = LabelEvaluator(targets, classes, columns)
    given = logits if columns is None else logits[:, columns]
    evaluator.update(range(60), probabilities_of(given))

    def read(index: int) -> Image:
        return np.full((40 + index, 70, 3), index, dtype=np.uint8)

    data = ReportData(
        classes=classes,
        score=evaluator.compute(),
        read=read,
        explain=None,
        files=[f"{k}.jpg" for k in range(60)],
    )
    return replace(data, **changes)


def write(
    folder: Path,
    data: ReportData[Any],
    history: Sequence[tuple[int, str, float]] = (),
    *,
    page: bool = True,
) -> dict[str, Any]:
    """Leave the report of an evaluation in a folder."""
    run = RunFacts(
        "Test & trial",
        "tools/x.py",
        [("data", "random")],
        cost=Cost(mult_adds=569_000_000, params=4_240_000, layers=()),
        history=history,
    )
    return write_report(folder, run, make_report(data), page=page)


@pytest.mark.slow
def test_report_holds_the_figures(tmp_path: Path) -> None:
    history = [(step, "loss", 5 / step) for step in range(1, 90)] + [(89, "top1", 0.5)]
    asked = []

    def explain(photo: Image, column: int) -> Image:
        asked.append((int(photo[0, 0, 0]), column))
        return np.zeros((64, 64, 3), dtype=np.uint8)

    data = make_data(8, explain=explain)
    summary = write(tmp_path, data, history)
    assert json.loads((tmp_path / "report.json").read_text()) == summary
    assert "minutes" not in summary
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    metrics = data.score["metrics"]
    assert summary["metrics"] == metrics
    assert summary["images"] == 60
    assert summary["cost"] == {"mult_adds": 569_000_000, "params": 4_240_000}
    assert np.array(summary["confusion"]["rows_true_columns_predicted"]).sum() == 60
    page = (tmp_path / "report.html").read_text()
    for text in (
        "<title>Test &amp; trial</title>",
        f"<b>{metrics['top1']:.3f}</b>top-1 (95 %: {metrics['top1_low']:.3f} to",
        f"<b>{metrics['top5']:.3f}</b>top-5",
        "<b>0.569 B</b>",
        "&lt;class 3&gt;",
        "Training",
    ):
        assert text in page
    assert not re.search(r'(src|href)=(?!"data:)', page)
    # Every picture is explained by the class that was predicted.
    rows = dict(zip(data.score["image_ids"], data.score["predicted"], strict=True))
    assert len(asked) == 24
    assert all(rows[image] == column for image, column in asked)


@pytest.mark.slow
def test_without_a_page_the_figures_stay_and_no_image_is_read(tmp_path: Path) -> None:
    data = make_data(8)
    shown = write(tmp_path / "shown", data)

    def read(_: int) -> Image:
        pytest.fail("an image was read for a page that nobody wants")

    summary = write(tmp_path / "told", replace(data, read=read), page=False)
    assert [path.name for path in (tmp_path / "told").iterdir()] == ["report.json"]
    assert summary == {**shown, "folder": str(tmp_path / "told")}
    assert json.loads((tmp_path / "told/report.json").read_text()) == summary


@pytest.mark.slow
def test_worst_mistakes_come_sorted(tmp_path: Path) -> None:
    data = make_data(8)
    summary, score = write(tmp_path, data), data.score
    sure = score["probabilities"].max(axis=1)
    wrong = score["predicted"] != score["targets"]
    worst = [row["probability"] for row in summary["worst"]]
    assert worst == pytest.approx(sorted(sure[wrong].tolist(), reverse=True)[:12])
    assert all(row["true"] != row["predicted"] for row in summary["worst"])
    least = [row["probability"] for row in summary["least_sure"]]
    assert least == pytest.approx(sorted(sure[~wrong].tolist())[:12])
    assert all(row["true"] == row["predicted"] for row in summary["least_sure"])
    for row in summary["worst"]:
        index = int(Path(row["file"]).name.split(".")[0])
        assert row["true"] == data.classes.names[score["targets"][index]]
    counts = [row["count"] for row in summary["confused_pairs"]]
    assert counts == sorted(counts, reverse=True)
    first = summary["confused_pairs"][0]
    of = data.classes.names.index
    assert score["confusion"][of(first["true"]), of(first["predicted"])] == first["count"]


@pytest.mark.slow
def test_few_classes_have_no_top5_and_many_are_shortened(tmp_path: Path) -> None:
    summary = write(tmp_path / "few", make_data(5))
    assert "top5" not in summary["metrics"]
    assert "top-5" not in (tmp_path / "few/report.html").read_text()
    summary = write(tmp_path / "many", make_data(130))
    assert len(summary["per_class"]) == 130
    assert len(summary["confusion"]["classes"]) == 100
    assert "the 20 most confused of 130 classes" in (tmp_path / "many/report.html").read_text()


@pytest.mark.slow
def test_classes_that_the_model_lacks_are_said(tmp_path: Path) -> None:
    summary = write(tmp_path, make_data(8, columns=np.arange(6)))
    assert summary["unknown_classes"] == ["<class 6>", "<class 7>"]
    assert "The model lacks 2 of the data" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_perfect_model_has_a_report_too(tmp_path: Path) -> None:
    data = make_data(3)
    evaluator = LabelEvaluator(np.arange(3), data.classes)
    evaluator.update(range(3), probabilities_of(np.eye(3) * 50))
    summary = write(tmp_path, replace(data, score=evaluator.compute()))
    assert summary["worst"] == summary["confused_pairs"] == []
    assert summary["metrics"]["top1"] == 1
    assert "every answer is right" in (tmp_path / "report.html").read_text()
