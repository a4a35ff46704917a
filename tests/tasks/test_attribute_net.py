"""The network of attributes: its loss by hand, its weights files, and its teachers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.distillation.losses import sigmoid_loss
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TeacherTargets
from tasks.face_attributes.application import FACE_ATTRIBUTES
from tasks.face_attributes.load import open_attribute_teacher, start_attribute_net
from tasks.face_attributes.losses import attribute_loss
from tasks.face_attributes.model import AttributeNet
from tasks.face_attributes.spec import TASK, AttributeLossSpec
from tasks.predictor import open_network
from tasks.weights.card import Card
from tasks.weights.file import save_weights

NAMES = ["Eyeglasses", "Smiling", "Wearing_Hat"]
SPEC = ClassifierSpec(alpha=0.1, size=32)
ONES = torch.ones(3)


def names(*chosen: str) -> ClassMap:
    return ClassMap.from_names(list(chosen), first=0)


def save(path: Path, model: AttributeNet, attributes: ClassMap, task: str = TASK) -> Path:
    card = Card(task, SPEC.to_json(), model.body.flavour, attributes)
    save_weights(path, model.state_dict(), card)
    return path


def network(columns: int, seed: int = 0) -> AttributeNet:
    torch.manual_seed(seed)
    model = AttributeNet(SPEC, columns).eval()
    nn.init.normal_(model.get_parameter("head.2.weight"))
    return model


def images() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0), 5.0], [math.log(3.0), 0.0, 0.0]])
    values = torch.tensor([[1, 0, -1], [1, -1, -1]], dtype=torch.int8)
    each = [math.log(2), math.log(4), math.log(4 / 3)]
    loss = attribute_loss(logits, values, ONES, ONES)
    assert float(loss) == pytest.approx(sum(each) / 3, rel=1e-6)
    yes, no = torch.tensor([2.0, 1, 1]), torch.tensor([1.0, 0.5, 1])
    weighted = attribute_loss(logits, values, yes, no)
    assert float(weighted) == pytest.approx((2 * each[0] + 0.5 * each[1] + 2 * each[2]) / 3)
    assert float(attribute_loss(logits, torch.full_like(values, -1), ONES, ONES)) == 0


def test_focal_loss_is_torchvisions() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 3, generator=generator) * 3
    values = torch.randint(0, 2, (6, 3), generator=generator)
    wanted = sigmoid_focal_loss(logits, values.float(), alpha=-1, gamma=2, reduction="mean")
    torch.testing.assert_close(attribute_loss(logits, values, ONES, ONES, 2.0), wanted)


def test_what_attributes_weigh() -> None:
    loss = AttributeLossSpec(balance=True, attribute_weights=("Smiling=3",))
    model = AttributeNet(SPEC, 3, loss=loss)
    share = torch.tensor([0.25, 0.5, torch.nan], dtype=torch.float64)
    model.weigh(NAMES, share)
    torch.testing.assert_close(model.yes_weight, torch.tensor([2.0, 3.0, 1.0]))
    torch.testing.assert_close(model.no_weight, torch.tensor([2 / 3, 3.0, 1.0]))
    # Those with it and those without weigh the same in all, as much as before together.
    assert 0.25 * model.yes_weight[0] == pytest.approx(0.75 * float(model.no_weight[0]))
    model.weigh(NAMES, torch.tensor([0.0, 1.0, 0.001]))
    assert model.yes_weight.max() == 20
    with pytest.raises(ValueError, match="--attribute-weights Bald=2: no such attribute"):
        AttributeLossSpec(attribute_weights=("Bald=2",)).weights_of(NAMES)
    for word in ("Bald", "Bald=", "=2", "Bald=-1", "Bald=nan"):
        with pytest.raises(ValueError, match=f"--attribute-weights {word}: write NAME=WEIGHT"):
            AttributeLossSpec(attribute_weights=(word,))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_lesson(share: float) -> None:
    model = network(3).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.Dropout):
            module.eval()
    answers = torch.tensor([[2.0, -1, 0]] * 4)
    taught = TeacherTargets(lambda _: answers, DistillSpec(teacher="x", distill_weight=share))
    values = torch.tensor([[1, 0, 1]] * 4)
    losses = model(images(), values, taught)
    logits = model.raw(images())
    torch.testing.assert_close(losses["teacher"], share * sigmoid_loss(logits, answers))
    if share == 1:
        assert list(losses) == ["teacher"], "labels are not used"
    else:
        plain = model(images(), values)["attributes"]
        torch.testing.assert_close(losses["attributes"], (1 - share) * plain)


@pytest.mark.slow
def test_weights_files(tmp_path: Path) -> None:
    model = network(3)
    model.thresholds.copy_(torch.tensor([0.2, 0.5, 0.7]))
    path = save(tmp_path / "a.safetensors", model, names(*NAMES))
    loaded, card = open_network(path, FACE_ATTRIBUTES)
    assert card.classes.names == tuple(NAMES)
    torch.testing.assert_close(loaded(images()), model(images()))
    torch.testing.assert_close(loaded.thresholds, model.thresholds)
    other = save(tmp_path / "b.safetensors", model, names(*NAMES), "classification")
    with pytest.raises(ValueError, match="for classification, not for face_attributes"):
        open_network(other, FACE_ATTRIBUTES)


@pytest.mark.slow
def test_starting_from_other_attributes(tmp_path: Path) -> None:
    model = network(3)
    model.thresholds.copy_(torch.tensor([0.2, 0.5, 0.7]))
    path = save(tmp_path / "a.safetensors", model, names(*NAMES))
    new = network(3, seed=1)
    fresh = new.get_parameter("head.2.weight")[1].clone()
    _, anew = start_attribute_net(new, names("Wearing_Hat", "Bald", "Smiling"), path)
    assert anew == ["Bald"]
    theirs, ours = model(images()), new(images())
    torch.testing.assert_close(ours[:, [0, 2]], theirs[:, [2, 1]])
    torch.testing.assert_close(new.get_parameter("head.2.weight")[1], fresh)
    torch.testing.assert_close(new.thresholds, torch.tensor([0.7, 0.5, 0.5]))
    # The body alone comes from another task.
    classifier = Classifier(SPEC, 2).eval()
    card = Card("classification", SPEC.to_json(), classifier.body.flavour, names(*NAMES[:2]))
    save_weights(tmp_path / "c.safetensors", classifier.state_dict(), card)
    _, anew = start_attribute_net(new, names(*NAMES), tmp_path / "c.safetensors")
    assert anew == NAMES
    features = classifier.body(classifier.normalize(images()))[32]
    torch.testing.assert_close(new.body(new.normalize(images()))[32], features)


@pytest.mark.slow
def test_a_teacher_of_another_order(tmp_path: Path) -> None:
    model = network(3)
    path = save(tmp_path / "a.safetensors", model, names(*NAMES))
    spec = DistillSpec(teacher=str(path))
    teacher = open_attribute_teacher(spec, names("Wearing_Hat", "Eyeglasses"))
    wanted = model(images())[:, [2, 0]]
    torch.testing.assert_close(teacher(images()), wanted, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"lacks 1 of the data's 2 attributes \(Bald\)"):
        open_attribute_teacher(spec, names("Smiling", "Bald"))
    python = DistillSpec(teacher="tests.tasks.test_attribute_net:always")
    callable_teacher = open_attribute_teacher(python, names(*NAMES))
    callable_teacher.check(3, 32)
    assert callable_teacher(images()).tolist() == [[1.0, 0.0, -1.0]] * 4
    with pytest.raises(ValueError, match="no such run folder"):
        open_attribute_teacher(DistillSpec(teacher="runs/nothing"), names(*NAMES))


def always(pictures: Tensor) -> Tensor:
    """A teacher in Python."""
    return torch.tensor([[1.0, 0.0, -1.0]]).repeat(len(pictures), 1)
