"""The losses of a classifier on cases worked by hand."""

import math

import pytest
import torch
from torch.nn import functional

from tasks.body_spec import ClassifierSpec
from tasks.classification.losses import class_loss, class_weights, generalised_cross_entropy
from tasks.classification.model import Classifier
from tasks.classification.spec import ClassLossSpec, Robust

# Logits whose probabilities are 1/2, 1/4, 1/4 and 1/10, 1/10, 8/10.
LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        (1.0, (0.5 + 0.2) / 2),  # Mean absolute error: 1 - p.
        (0.5, ((1 - math.sqrt(0.5)) / 0.5 + (1 - math.sqrt(0.8)) / 0.5) / 2),
        (1e-4, -(math.log(0.5) + math.log(0.8)) / 2),  # Cross-entropy.
    ],
)
def test_generalised_cross_entropy_by_hand(q: float, expected: float) -> None:
    found = generalised_cross_entropy(LOGITS, torch.tensor([0, 2]), q)
    assert found.item() == pytest.approx(expected, rel=1e-3 if q < 0.1 else 1e-6)


def test_shares_and_smoothing_spread_it() -> None:
    """At q = 1 a class k has 1 - p_k, weighted by its share."""
    shares = torch.tensor([[0.75, 0.25, 0.0]])
    found = generalised_cross_entropy(LOGITS[:1], shares, 1.0)
    assert found.item() == pytest.approx(0.75 * 0.5 + 0.25 * 0.75)
    found = generalised_cross_entropy(LOGITS[:1], torch.tensor([0]), 1.0, label_smoothing=0.3)
    assert found.item() == pytest.approx(0.8 * 0.5 + 0.1 * 0.75 + 0.1 * 0.75)


def test_its_gradient_is_cross_entropys_times_p_to_the_q() -> None:
    """So that a photo unlike its label pulls less (the paper's section 3.3)."""
    logits = (LOGITS * 3).requires_grad_()
    targets, q = torch.tensor([1, 2]), 0.5
    generalised_cross_entropy(logits, targets, q).backward()
    ours = logits.grad
    plain = logits.detach().clone().requires_grad_()
    functional.cross_entropy(plain, targets).backward()
    p = plain.detach().softmax(1).gather(1, targets[:, None])
    torch.testing.assert_close(ours, plain.grad * p**q)


def test_it_is_finite_where_the_label_is_impossible() -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    loss = generalised_cross_entropy(logits, torch.tensor([1]), 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(2.0)  # Its greatest value, 1 / q.
    assert logits.grad.isfinite().all()


def test_the_spec_chooses() -> None:
    targets = torch.tensor([0, 1])
    plain = class_loss(LOGITS, targets, ClassLossSpec(label_smoothing=0.2))
    expected = functional.cross_entropy(LOGITS, targets, label_smoothing=0.2)
    assert plain.item() == pytest.approx(expected.item())
    robust = class_loss(LOGITS, targets, ClassLossSpec(robust="gce", gce_q=0.3))
    assert robust.item() == pytest.approx(generalised_cross_entropy(LOGITS, targets, 0.3).item())


def test_a_classifier_trains_with_it() -> None:
    torch.manual_seed(0)
    spec = ClassifierSpec(alpha=0.25, size=32)
    model: Classifier = Classifier(spec, 3, loss=ClassLossSpec(robust="gce", mixup=0.2))
    losses = model.train()(torch.zeros(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))
    assert 0 < losses["class"].item() < 2
    losses["class"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_weights_of_classes_by_hand() -> None:
    """At 1 every class has the same sum; the mean over all images is 1 at any power."""
    counts = torch.tensor([90, 9, 1])
    assert class_weights(counts, 1).tolist() == pytest.approx([100 / 270, 100 / 27, 100 / 3])
    assert class_weights(counts, 0).tolist() == [1, 1, 1]
    half = class_weights(counts, 0.5)
    assert half[2] / half[0] == pytest.approx(math.sqrt(90))
    assert (half * counts).sum().item() == pytest.approx(100)
    assert class_weights(torch.tensor([2, 0]), 1).isfinite().all()


@pytest.mark.parametrize("robust", ["none", "gce"])
def test_classes_count_by_their_weights(robust: Robust) -> None:
    spec, weights = ClassLossSpec(robust=robust), torch.tensor([1.0, 2.0, 5.0])
    one, two = (
        class_loss(LOGITS[k : k + 1], torch.tensor([c]), spec) for k, c in ((0, 1), (1, 2))
    )
    found = class_loss(LOGITS, torch.tensor([1, 2]), spec, weights)
    assert found.item() == pytest.approx((2 * one.item() + 5 * two.item()) / 2)
    shares = torch.tensor([[0, 1.0, 0], [0, 0, 1.0]])
    assert class_loss(LOGITS, shares, spec, weights).item() == pytest.approx(found.item())


def test_a_classifiers_weights_stay_out_of_its_file() -> None:
    model = Classifier(ClassifierSpec(alpha=0.25, size=32), 2, loss=ClassLossSpec(balance=1))
    model.weigh(torch.tensor([3, 1]))
    assert model.weights is not None
    assert model.weights.tolist() == pytest.approx([2 / 3, 2])
    assert "weights" not in model.state_dict()
