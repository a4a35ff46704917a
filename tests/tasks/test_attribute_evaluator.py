"""The figures of face attributes: by hand, and against scikit-learn."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from datasets.types import ClassMap
from tasks.face_attributes.evaluator import (
    AttributeEvaluator,
    format_attributes,
    format_metrics,
)
from tasks.face_attributes.precision import average_precision, fit_threshold, mean_interval
from tasks.runtime.session import Answer as Outputs

NAMES = ClassMap.from_names(["Eyeglasses", "Smiling", "Wearing_Hat"], first=0)


def test_average_precision_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    truth = np.array([True, False, True, False])
    assert average_precision(scores, truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, ~truth) == pytest.approx((1 / 2 + 2 / 4) / 2)
    tied = np.array([0.5, 0.5, 0.5, 0.1])
    assert average_precision(tied, truth) == pytest.approx(2 / 3), "equals come together"
    assert np.isnan(average_precision(scores, np.zeros(4, bool)))


@pytest.mark.slow
@pytest.mark.parametrize("digits", [1, 8])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_average_precision_is_scikit_learns(
    rng: np.random.Generator, digits: int, share: float
) -> None:
    """With few digits most scores are tied."""
    for _ in range(10):
        scores = np.round(rng.random(200), digits).astype(np.float32)
        truth = rng.random(200) < share
        truth[0] = True
        wanted = sk.average_precision_score(truth, scores)
        assert average_precision(scores, truth) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.slow
def test_the_interval_is_that_of_scikit_learn_on_the_same_resamples(
    rng: np.random.Generator,
) -> None:
    scores = np.round(rng.random((60, 2)), 2)
    values = (rng.random((60, 2)) < 0.4).astype(np.int8)
    values[:5, 1] = -1
    means = []
    drawn = np.random.default_rng(0).integers(0, 60, (400, 60))
    for rows in drawn:
        known = rows[rows >= 5]
        means.append(
            (
                sk.average_precision_score(values[rows, 0], scores[rows, 0])
                + sk.average_precision_score(values[known, 1], scores[known, 1])
            )
            / 2
        )
    wanted = np.percentile(means, (2.5, 97.5))
    np.testing.assert_allclose(mean_interval(scores, values, np.arange(2)), wanted, atol=1e-12)


def test_a_threshold_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.35, 0.8])
    truth = np.array([False, False, True, False, True])
    # From .25 on both are found and one is wrong (5/6); from .575 one and none (3/4).
    assert fit_threshold(scores, truth) == pytest.approx(0.25)
    assert fit_threshold(scores, np.ones(5, bool)) == 0.5
    assert fit_threshold(np.full(5, 0.3), truth) == 0.5
    clear = np.array([0.1, 0.2, 0.6, 0.7, 0.9])
    assert fit_threshold(clear, clear > 0.5) == pytest.approx(0.4), "any between would do"


@pytest.mark.slow
def test_a_fitted_threshold_is_the_best_of_all(rng: np.random.Generator) -> None:
    for _ in range(10):
        truth = rng.random(80) < 0.3
        scores = np.round(rng.random(80) * 0.6 + 0.3 * truth, 2)
        fitted = fit_threshold(scores, truth)
        best = max(sk.balanced_accuracy_score(truth, scores >= cut) for cut in np.unique(scores))
        assert sk.balanced_accuracy_score(truth, scores >= fitted) == pytest.approx(best)


def outputs(shares: NDArray[np.float64]) -> list[Outputs]:
    return [{"probabilities": row} for row in shares]


def filled(
    shares: NDArray[np.float64],
    values: NDArray[np.int8],
    thresholds: NDArray[np.float32] | None = None,
    *,
    interval: bool = False,
) -> AttributeEvaluator:
    evaluator = AttributeEvaluator(values, NAMES, None, thresholds, interval=interval)
    evaluator.update(range(3), outputs(shares[:3]))
    evaluator.update(range(2, len(shares)), outputs(shares[2:]))
    return evaluator


def test_figures_are_scikit_learns(rng: np.random.Generator) -> None:
    values = (rng.random((120, 3)) < (0.1, 0.5, 0.8)).astype(np.int8)
    shares = np.clip(rng.random((120, 3)) * 0.7 + 0.25 * values, 0.01, 0.99)
    thresholds = np.array([0.5, 0.3, 0.8], np.float32)
    score = filled(shares, values, thresholds).compute()
    for k, (name, row) in enumerate(score["per_attribute"].items()):
        assert name == NAMES.names[k]
        answers = shares[:, k] >= thresholds[k]
        truth = values[:, k]
        wanted = sk.average_precision_score(truth, shares[:, k])
        assert row.ap == pytest.approx(wanted, abs=1e-6)
        assert row.balanced == pytest.approx(sk.balanced_accuracy_score(truth, answers))
        assert row.accuracy == pytest.approx(sk.accuracy_score(truth, answers))
        assert row.prevalence == pytest.approx(truth.mean())
        majority = np.full(120, truth.mean() > 0.5)
        assert row.majority == pytest.approx(sk.accuracy_score(truth, majority))
        chance = sk.average_precision_score(truth, np.zeros(120))
        assert row.prevalence == pytest.approx(chance), "chance is the prevalence"
    means = score["metrics"]
    rows = score["per_attribute"].values()
    assert means["mean_ap"] == pytest.approx(np.mean([row.ap for row in rows]))
    assert means["balanced"] == pytest.approx(np.mean([row.balanced for row in rows]))
    loss = np.mean([sk.log_loss(values[:, k], shares[:, k]) for k in range(3)])
    assert means["loss"] == pytest.approx(loss, rel=1e-5)
    assert "mean_ap_low" not in means


def test_probabilities_near_one_keep_their_order_and_their_loss() -> None:
    """In float32 all of these would be one."""
    values = np.array([[1, 1, 1], [0, 1, 0], [1, 0, 0]], np.int8)
    short = np.array([[1e-12, 1e-12, 1e-9], [2e-12, 1e-9, 1e-10], [1e-11, 1e-10, 1e-12]])
    score = filled(1 - short, values).compute()
    assert [row.ap for row in score["per_attribute"].values()] == pytest.approx(
        [(1 + 2 / 3) / 2, (1 + 2 / 3) / 2, 1 / 3]
    )
    right = np.where(values == 1, 1 - short, short)
    assert score["metrics"]["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)


def test_unknown_and_constant_attributes_do_not_count() -> None:
    values = np.array([[1, -1, 0], [0, -1, 0], [1, 1, 0], [0, 0, 0]], np.int8)
    shares = np.array([[0.9, 0.1, 0.2], [0.8, 0.9, 0.2], [0.7, 0.8, 0.2], [0.1, 0.7, 0.6]])
    score = filled(shares, values, interval=True).compute()
    rows = score["per_attribute"]
    assert rows["Eyeglasses"].ap == pytest.approx((1 + 2 / 3) / 2)
    assert rows["Smiling"].ap == 1
    assert rows["Smiling"].photos == 2
    assert rows["Smiling"].balanced == pytest.approx(0.5), "both are taken for smiling"
    assert rows["Wearing_Hat"].ap is None
    assert rows["Wearing_Hat"].accuracy == 0.75
    assert score["constant"] == ("Wearing_Hat",)
    assert score["metrics"]["mean_ap"] == pytest.approx((5 / 6 + 1) / 2)
    assert score["metrics"]["mean_ap_low"] <= score["metrics"]["mean_ap"]
    assert "Not in the means, as they never vary here: Wearing_Hat." in format_metrics(score)
    assert format_attributes(score).splitlines()[-1].split()[:3] == ["Wearing_Hat", "0.000", "-"]
    with pytest.raises(ValueError, match=r"none of the attributes .* varies in these 4 images"):
        filled(shares, np.zeros((4, 3), np.int8)).compute()


def test_a_models_other_order_of_attributes() -> None:
    """The model knows hats and glasses, in this order, and something that the data lacks."""
    values = np.array([[1, 0, 0], [0, 1, 1]] * 2, np.int8)
    columns = np.array([2, -1, 0])
    thresholds = np.array([0.9, 0.1, 0.2], np.float32)
    evaluator = AttributeEvaluator(values, NAMES, columns, thresholds, interval=True)
    given = np.array([[0.1, 0.5, 0.3], [0.8, 0.5, 0.1]] * 2)
    for each in (evaluator, evaluator.fresh()):
        each.update(range(4), outputs(given))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            score = each.compute()
        assert list(score["per_attribute"]) == ["Eyeglasses", "Wearing_Hat"]
        assert score["unknown"] == ("Smiling",)
        assert score["metrics"]["mean_ap"] == 1
        assert score["per_attribute"]["Eyeglasses"].accuracy == 1
        assert score["per_attribute"]["Wearing_Hat"].accuracy == 0.5, "its threshold is .9"
    fitted = evaluator.fit_thresholds()
    np.testing.assert_allclose(fitted, [0.2, 0.5, 0.45], atol=1e-6)


def test_predictions_file_and_bad_probabilities(tmp_path: Path) -> None:
    values = np.array([[1, 0, 0]] * 4, np.int8)
    evaluator = filled(np.full((4, 3), 0.25), values)
    evaluator.write(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", *NAMES.names]
    assert rows[3] == ["c.jpg", "0.250000", "0.250000", "0.250000"]
    with pytest.raises(ValueError, match="not finite"):
        evaluator.update([0], outputs(np.full((1, 3), np.nan)))
