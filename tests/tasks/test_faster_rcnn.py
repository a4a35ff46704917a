"""Faster R-CNN as a whole: it learns, its weights travel, it starts from others."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.detection.application import DETECTION
from tasks.detection.faster_rcnn import FasterRCNN
from tasks.detection.matching import Rule, match
from tasks.detection.model import build_detector, detector_flavour, start_from
from tasks.detection.rpn import propose
from tasks.detection.spec import DetectOptions, DetectorSpec, TwoStageLossSpec
from tasks.predictor import open_network
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tests.tasks.learning import learn
from tests.tasks.two_stage import SPEC, THREE, build, spread, targets_of


@pytest.mark.slow
def test_proposals_are_padded_to_their_number_and_padding_is_never_found() -> None:
    model = build(replace(SPEC, size=64, proposals=500)).eval()
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        _, objectness, offsets = model.first_stage(images)
        regions, real = propose(objectness, offsets, model.anchors, 500)
        assert regions.shape == (2, 500, 4)
        assert 0 < int(real[0].sum()) < 500
        assert not regions[~real].any()
        found = model(images)
    assert (found.boxes[found.scores > 0][:, 2:] > 0).all()


def batch() -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Two pictures with a bright square each, and one with nothing."""
    images = torch.full((3, 3, 128, 128), 60, dtype=torch.uint8)
    images[0, 0, 20:84, 20:84] = 250
    images[1, 1, 40:110, 30:100] = 250
    squares = ((20, 20, 84, 84), (30, 40, 100, 110))
    boxes = [tuple(v / 128 for v in square) for square in squares]
    return images, targets_of([(boxes[0], 1)], [(boxes[1], 2)], [])


@pytest.mark.slow
@pytest.mark.parametrize("roi_pool", [False, True])
def test_one_batch_is_learned_by_heart(roi_pool: bool) -> None:
    spec = replace(SPEC, size=128, proposals=20, roi_pool=roi_pool)
    model = build(spec, loss=TwoStageLossSpec(box_samples=32)).train()
    images, targets = batch()
    losses = learn(model, (images, targets), steps=100, rate=4e-3)
    assert losses == {"rpn_class", "rpn_box", "class", "box"}
    # In batch statistics: three images are too few for the running ones.
    with torch.no_grad():
        feature, objectness, offsets = model.first_stage(images)
        found = model.detect(feature, *propose(objectness, offsets, model.anchors, 20))
    for index, wanted in enumerate(targets[:2]):
        assert found.scores[index, 0] > 0.5
        assert found.labels[index, 0] == wanted["labels"][0]
        torch.testing.assert_close(found.boxes[index, 0], wanted["boxes"][0], atol=0.05, rtol=0)
    assert found.scores[2, 0] < 0.3


@pytest.mark.slow
def test_every_parameter_gets_a_gradient_and_stands_once_in_the_file() -> None:
    model = build(replace(SPEC, size=128)).train()
    torch.stack(list(model(*batch()).values())).sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    state = model.state_dict()
    assert len({tensor.data_ptr() for tensor in state.values() if tensor.numel() > 1}) == len(
        [tensor for tensor in state.values() if tensor.numel() > 1]
    )


@pytest.mark.slow
@pytest.mark.parametrize("crowd", [False, True])
def test_pictures_without_objects_and_crowds_train(crowd: bool) -> None:
    model = build(replace(SPEC, size=128)).train()
    images, _ = batch()
    rows: list[tuple[tuple[float, ...], int]] = [((0.0, 0.0, 1.0, 1.0), 1)] if crowd else []
    targets = targets_of(rows, [], [])
    for target in targets:
        target["iscrowd"] |= True
    losses = model(images, targets)
    assert all(bool(loss.isfinite()) for loss in losses.values())
    assert float(losses["box"]) == float(losses["rpn_box"]) == 0
    if crowd:  # Nothing can be said inside it.
        labels = match(targets, model.anchors, Rule(0.7, 0.3, "ties")).labels
        assert (labels[0] == -1).any()
        assert (labels[1] == 0).all()


def saved(model: FasterRCNN, path: Path, classes: ClassMap = THREE) -> Path:
    card = Card("detection", model.spec.to_json(), detector_flavour("mobilenet_v1"), classes)
    save_weights(path, model.state_dict(), card)
    return path


@pytest.mark.slow
def test_weights_come_back_and_proposals_can_be_fewer(tmp_path: Path) -> None:
    model = spread(build(replace(SPEC, size=96))).eval()
    path = saved(model, tmp_path / "model.safetensors")
    images = torch.randint(256, (1, 3, 96, 96), dtype=torch.uint8)
    loaded, _ = open_network(path, DETECTION)
    for one, two in zip(model(images), loaded(images), strict=True):
        assert torch.equal(one, two)
    fewer, card = open_network(path, DETECTION, [DetectOptions(proposals=5)])
    assert card.model["proposals"] == 5
    assert fewer.spec.proposals == 5
    assert int((fewer(images).scores > 0).sum()) <= 15


@pytest.mark.slow
def test_fine_tuning_keeps_the_rows_of_known_classes(tmp_path: Path) -> None:
    source = spread(build(replace(SPEC, size=96)))
    path = saved(source, tmp_path / "model.safetensors")
    classes = ClassMap((1, 2, 3), ("dog", "kite", "cup"))
    model = build(replace(SPEC, size=128), classes)
    fresh = model.box_predictor.weight.detach().clone().view(3, 4, -1)
    _, new = start_from(model, classes, path)
    assert new == ["dog"]
    assert torch.equal(model.class_predictor.weight[0], source.class_predictor.weight[0])
    assert torch.equal(model.class_predictor.weight[2], source.class_predictor.weight[3])
    rows, before = model.box_predictor.weight.view(3, 4, -1), source.box_predictor.weight
    assert torch.equal(rows[0], fresh[0])
    assert torch.equal(rows[1], before.view(3, 4, -1)[2])
    assert torch.equal(rows[2], before.view(3, 4, -1)[0])


@pytest.mark.slow
def test_weights_of_ssd_lend_their_body(tmp_path: Path) -> None:
    spec = DetectorSpec(alpha=0.25, size=96)
    ssd = build_detector(spec, THREE)
    path = tmp_path / "model.safetensors"
    card = Card("detection", spec.to_json(), detector_flavour("mobilenet_v1"), THREE)
    save_weights(path, ssd.state_dict(), card)
    model = build(replace(SPEC, size=96))
    _, new = start_from(model, THREE, path)
    assert new == list(THREE.names)
    for name, value in ssd.body.state_dict().items():
        assert torch.equal(model.body.state_dict()[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vgg16", "inception_v2"])
@pytest.mark.parametrize("framework", ["ssd300", "faster_rcnn_300"])
def test_compared_bodies_train_and_detect(backbone: str, framework: str) -> None:
    small = {"ssd300": 268, "faster_rcnn_300": 64}[framework]
    spec = DetectorSpec(framework=framework, backbone=backbone, size=small, proposals=300)
    torch.manual_seed(0)
    model = build_detector(spec, THREE).train()
    images = torch.randint(256, (2, 3, small, small), dtype=torch.uint8)
    targets = targets_of([((0.1, 0.1, 0.6, 0.7), 2)], [])
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    history = []
    for _ in range(3):
        torch.manual_seed(1)  # The same draws, so that the losses can be compared.
        loss = torch.stack(list(model(images, targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < history[0]
    with torch.inference_mode():
        found = model.eval()(images[:1])
    assert found.boxes.shape[2] == 4
    assert (found.boxes >= 0).all()
    assert (found.boxes <= 1).all()


@pytest.mark.parametrize("name", ["variant", "stem_stride"])
def test_another_kind_of_mobilenet_is_refused(tmp_path: Path, name: str) -> None:
    """Its tensors have the same names and shapes; its answers would be wrong."""
    model = build(replace(SPEC, size=96))
    spec = {"backbone": "mobilenet_v1", "alpha": 0.25, "variant": "standard", "stem_stride": 2}
    spec[name] = {"variant": "act_after_depthwise", "stem_stride": 1}[name]
    card = Card("classification", spec, detector_flavour("mobilenet_v1"), THREE)
    path = tmp_path / "model.safetensors"
    save_weights(path, {f"body.{k}": v for k, v in model.body.state_dict().items()}, card)
    with pytest.raises(ValueError, match=f"the weights have {name} "):
        start_from(model, THREE, path)


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["ssd300", "faster_rcnn_300"])
def test_vgg16_starts_from_a_classifier(tmp_path: Path, framework: str) -> None:
    """SSD takes the convolutions, Faster R-CNN the two large linear layers too."""
    source = Classifier(ClassifierSpec(backbone="vgg16"), 3)
    card = Card("classification", source.spec.to_json(), detector_flavour("vgg16"), THREE)
    path = tmp_path / "model.safetensors"
    save_weights(path, source.state_dict(), card)
    model = build_detector(DetectorSpec(framework, backbone="vgg16"), THREE)
    start_from(model, THREE, path)
    state, theirs = model.state_dict(), source.state_dict()
    taken = [k for k, v in theirs.items() if k.startswith("body.") and torch.equal(state[k], v)]
    assert len(taken) == 26
    if framework == "faster_rcnn_300":
        assert torch.equal(state["neck.2.weight"], theirs["head.0.2.weight"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"framework": "yolo"}, "unknown framework 'yolo': choose one of ssd300, faster"),
        ({"backbone": "resnet50"}, "unknown backbone 'resnet50'"),
        ({"proposals": 100}, "--proposals 100: SSD has no second stage"),
        ({"roi_pool": True}, "--roi-pool: SSD has no second stage"),
        ({"framework": "faster_rcnn_300", "head": "ssdlite"}, "--head ssdlite: only SSD"),
        ({"framework": "faster_rcnn_600", "proposals": 0}, "--proposals 0 is not in 1"),
        ({"backbone": "vgg16", "alpha": 0.5}, "--alpha 0.5: vgg16 has one width only"),
        ({"backbone": "vgg16", "size": 200}, "SSD on VGG16 needs 268"),
        ({"framework": "faster_rcnn_300", "backbone": "vgg16", "roi_pool": True}, "pools its"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DetectorSpec(**fields)


def test_the_framework_brings_its_size() -> None:
    assert DetectorSpec(framework="faster_rcnn_600").size == 600
    assert DetectorSpec(framework="faster_rcnn_600", size=320).size == 320
