"""The detector as a whole: it learns, its weights travel, it starts from others."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from backbone.flavour import Flavour
from datasets.types import COCO_CLASSES, ClassMap
from tasks.detection.application import DETECTION
from tasks.detection.matching import Rule, match
from tasks.detection.model import (
    build_detector,
    detector_flavour,
    start_from,
)
from tasks.detection.postprocess import postprocess
from tasks.detection.spec import DetectorSpec, LossSpec, PostSpec
from tasks.detection.ssd import SSD
from tasks.fitting.batchnorm import calibrate_batchnorm
from tasks.predictor import open_network
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.tasks.learning import learn

DETECTOR_FLAVOUR = detector_flavour("mobilenet_v1")
THREE = ClassMap((3, 7, 90), ("cup", "cat", "kite"))
SMALL = DetectorSpec(alpha=0.25, size=96)


def build(spec: DetectorSpec, classes: ClassMap, **options: object) -> SSD:
    model = build_detector(spec, classes, **options)
    assert isinstance(model, SSD)
    return model


def batch() -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Two pictures with a bright square each, and one with nothing."""
    images = torch.full((3, 3, 96, 96), 60, dtype=torch.uint8)
    images[0, 0, 20:60, 20:60] = 250
    images[1, 1, 40:90, 30:80] = 250
    rows = [((20, 20, 60, 60), 1), ((30, 40, 80, 90), 2)]
    targets = [
        {
            "boxes": torch.tensor([box]) / 96,
            "labels": torch.tensor([label]),
            "iscrowd": torch.tensor([False]),
        }
        for box, label in rows
    ]
    targets.append(
        {
            "boxes": torch.zeros(0, 4),
            "labels": torch.zeros(0, dtype=torch.int64),
            "iscrowd": torch.zeros(0, dtype=torch.bool),
        }
    )
    return images, targets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "head"), [("hard_negative", "ssd"), ("focal", "ssd"), ("hard_negative", "ssdlite")]
)
def test_one_batch_is_learned_by_heart(loss: str, head: str) -> None:
    torch.manual_seed(0)
    spec = DetectorSpec(alpha=0.25, size=96, head=head)
    objective = LossSpec(loss=loss, min_negatives=3)
    model = build(spec, THREE, loss=objective).train()
    images, targets = batch()
    assert learn(model, (images, targets), steps=150, rate=5e-3) == {"class", "box"}
    # In batch statistics: three images are too few for the running ones.
    with torch.inference_mode():
        boxes, scores, labels = postprocess(*model.raw(images), model.anchors, model.post)
    for index, wanted in enumerate(targets[:2]):
        assert scores[index, 0] > 0.5
        assert labels[index, 0] == wanted["labels"][0]
        torch.testing.assert_close(boxes[index, 0], wanted["boxes"][0], atol=0.03, rtol=0)
    assert scores[2, 0] < 0.3


@pytest.mark.slow
def test_every_parameter_gets_a_gradient() -> None:
    model = build(SMALL, THREE).train()
    images, targets = batch()
    torch.stack(list(model(images, targets).values())).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


@pytest.mark.slow
def test_byte_and_float_images_give_the_same() -> None:
    model = build(SMALL, THREE).eval()
    images, _ = batch()
    for one, two in zip(model(images), model(images.float()), strict=True):
        assert torch.equal(one, two)


def test_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="images of 100x90 do not fit"):
        build(SMALL, THREE)(torch.zeros(1, 3, 90, 100))


def card_of(model: SSD, classes: ClassMap, *, folded: bool = False) -> Card:
    return Card(
        "detection", model.spec.to_json(), DETECTOR_FLAVOUR, classes, {"AP": 0.5}, "test", folded
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    model = build(SMALL, THREE)
    path = tmp_path / "model.safetensors"
    save_weights(path, model.state_dict(), card_of(model, THREE))
    return path


@pytest.mark.slow
def test_weights_come_back_bit_for_bit(saved: Path) -> None:
    torch.manual_seed(1)
    fresh = build(SMALL, THREE).eval()
    model, card = open_network(saved, DETECTION)
    assert card.classes == THREE
    assert card.metrics == {"AP": 0.5}
    images, _ = batch()
    for one, two in zip(model(images), fresh(images), strict=True):
        assert torch.equal(one, two)
    # A run folder will do as well as the file.
    assert load_weights(saved.parent)[1] == card


@pytest.mark.slow
def test_fine_tuning_keeps_the_predictors_of_known_classes(saved: Path) -> None:
    classes = ClassMap((1, 2, 3), ("dog", "kite", "cup"))
    torch.manual_seed(2)
    model = build(SMALL, classes)
    fresh = model.class_predictors[1].weight.detach().clone().view(6, 4, -1)
    _, new = start_from(model, classes, saved)
    assert new == ["dog"]
    source, _ = load_weights(saved)
    before = source["class_predictors.1.weight"].view(6, 4, -1)
    after = model.class_predictors[1].weight.view(6, 4, -1)
    assert torch.equal(after[:, 0], before[:, 0])  # Background.
    assert torch.equal(after[:, 1], fresh[:, 1])  # Dog is new.
    assert torch.equal(after[:, 2], before[:, 3])  # Kite moves from column 3 to 2.
    assert torch.equal(after[:, 3], before[:, 1])  # Cup.
    assert torch.equal(model.box_predictors[0].weight, source["box_predictors.0.weight"])


@pytest.mark.slow
def test_ssdlite_keeps_its_depthwise_filters(tmp_path: Path) -> None:
    """Only the last layer's rows are classes, even where their number divides the depth."""
    spec = DetectorSpec(alpha=0.25, size=96, head="ssdlite")
    source = build(spec, THREE)
    card = replace(card_of(source, THREE), model=spec.to_json())
    save_weights(tmp_path / "model.safetensors", source.state_dict(), card)
    turned = ClassMap(THREE.ids, tuple(reversed(THREE.names)))
    model = build(spec, turned)
    assert start_from(model, turned, tmp_path)[1] == []
    for name, value in model.state_dict().items():
        before = source.state_dict()[name]
        if re.fullmatch(r"class_predictors\.\d\.1\..*", name):
            rows = before.view(-1, 4, *before.shape[1:])[:, [0, 3, 2, 1]]
            assert torch.equal(value, rows.reshape(before.shape)), name
        else:
            assert torch.equal(value, before), name


@pytest.mark.slow
def test_another_flavour_is_refused(saved: Path) -> None:
    other = replace(DETECTOR_FLAVOUR, activation="relu")
    with pytest.raises(ValueError, match=r"activation relu6, the model to train activation relu"):
        start_from(build(SMALL, THREE, flavour=other), THREE, saved)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DetectorSpec(alpha=0.5, size=96), r"weights have alpha 0\.25, the model to train 0\.5"),
        (DetectorSpec(alpha=0.25, size=96, head="ssdlite"), "choose --head ssd"),
    ],
)
def test_weights_of_another_network_are_refused(
    saved: Path, spec: DetectorSpec, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start_from(build(spec, THREE), THREE, saved)


@pytest.mark.slow
def test_another_input_size_is_fine(saved: Path) -> None:
    model = build(DetectorSpec(alpha=0.25, size=160), THREE)
    start_from(model, THREE, saved)
    assert model.eval()(torch.zeros(1, 3, 160, 160)).boxes.shape == (1, 100, 4)


@pytest.mark.slow
def test_calibration_gives_statistics_without_changing_the_answer() -> None:
    torch.manual_seed(0)
    model = build(SMALL, THREE).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.bias, -1, 1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    images = torch.randint(0, 256, (8, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        before = model.raw(images)
        calibrate_batchnorm(model, [images])
        after = model.raw(images)
        trained = model.train().raw(images)  # Batch statistics are now the running ones.
    for one, two, three in zip(before, after, trained, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(three, one, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_crowds_do_not_teach() -> None:
    model = build(SMALL, THREE).train()
    images, targets = batch()
    targets[0]["iscrowd"] = torch.tensor([True])
    matches = match(targets, model.anchors, Rule(0.5, 0.5, "one"))
    assert not (matches.labels[0] > 0).any()
    assert all(loss.isfinite() for loss in model(images, targets).values())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DetectorSpec(alpha=0), "--alpha 0 must be above 0"),
        (lambda: DetectorSpec(size=20), "--size 20 is too small"),
        (lambda: DetectorSpec(head="x"), "unknown head 'x': choose one of ssd, ssdlite"),
        (lambda: PostSpec(nms_iou=1.5), r"--nms-iou 1\.5 is not in"),
        (lambda: PostSpec(detections=0), "--detections 0 must be 1 or more"),
        (lambda: LossSpec(match_iou=5), "--match-iou 5 is not between"),
        (lambda: LossSpec(box_weight=-1), "--box-weight -1 must be 0 or more"),
        (lambda: ClassMap((1, 1), ("a", "b")), "class id 1 occurs twice"),
        (lambda: ClassMap((1, 2), ("a", "a")), "class name 'a' occurs twice"),
        (lambda: Flavour(padding="x"), "unknown padding"),
    ],
)
def test_impossible_values_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_cocos_ids_have_gaps() -> None:
    assert len(COCO_CLASSES) == 90
    named = [n for n in COCO_CLASSES.names if not n.startswith("unused")]
    assert len(named) == 80
    assert COCO_CLASSES.names[89] == "toothbrush"
    assert COCO_CLASSES.names[11] == "unused 12"
