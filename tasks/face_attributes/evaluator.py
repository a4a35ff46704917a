"""Metrics of a network of attributes, computed batch by batch, on one process or many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.classification.evaluator import PREDICTIONS_NAME
from tasks.face_attributes.precision import average_precision, fit_threshold, mean_interval
from tasks.fitting.gathering import RowEvaluator
from tasks.probabilities import log_of, stack_probabilities
from tasks.reporting.tables import columns_text, metrics_text
from tasks.runtime.session import Answer as Outputs
from tasks.weights.atomic_write import write_csv

MEANINGS = {
    "mean_ap": "mean average precision over the attributes (the paper's table 12)",
    "mean_ap_low": "lower end of its 95 % interval",
    "mean_ap_high": "upper end of its 95 % interval",
    "chance_ap": "the same of answers at random: the mean prevalence",
    "balanced": "mean of the shares found of images with an attribute and without; chance is .5",
    "accuracy": "share of right answers",
    "majority": "the same of always giving the more frequent answer",
    "loss": "mean cross-entropy",
}
_NAME = 40
TITLES = ("attribute", "prevalence", "   AP", "balanced", "accuracy", "majority", "threshold")


class AttributeScore(NamedTuple):
    """Metrics of one attribute; None if all images have the same answer."""

    ap: float | None  # average precision, AP
    balanced: float | None  # accuracy, both answers counting the same
    accuracy: float  # share of right answers
    majority: float  # that of always giving the more frequent answer
    prevalence: float  # share of the images with the attribute: also the AP of chance
    threshold: float  # probability from which the answer was yes
    photos: int  # of which the attribute is known

    @property
    def figures(self) -> tuple[float | None, ...]:
        """The values in the order of ``TITLES``."""
        some = (self.accuracy, self.majority, self.threshold)
        return self.prevalence, self.ap, self.balanced, *some


class Score(TypedDict):
    """The result of :meth:`AttributeEvaluator.compute`, over M images and A attributes."""

    metrics: dict[str, float]  # by the names in MEANINGS, means over the attributes that vary
    per_attribute: dict[str, AttributeScore]  # by name, those with an image and that the model has
    image_ids: NDArray[np.int64]  # (M,) rising
    values: NDArray[np.int8]  # (M, A) 1 yes, 0 no, -1 unknown
    probabilities: NDArray[np.float64]  # (M, A) of yes, 0 where the model lacks the attribute
    unknown: tuple[str, ...]  # attributes of the data that the model lacks: not scored
    constant: tuple[str, ...]  # attributes that never vary in these images: not in the means


class AttributeEvaluator(RowEvaluator[NDArray[np.float64]]):
    """Collects probabilities and compares each attribute with its known values.

    If the two lists of attributes differ, those in both are scored.

    Args:
        values: (N, A) int8 by image id: 1 yes, 0 no, -1 unknown.
        attributes: Attributes of the data.
        columns: (A_model,) the data's column of each of the model's, -1 for none. None if both
            have the same attributes.
        thresholds: (A_model,) probability from which the answer is yes; None means .5.
        interval: Whether to resample the images for the interval of the mean average precision.
    """

    def __init__(
        self,
        values: NDArray[np.int8],
        attributes: ClassMap,
        columns: NDArray[np.int64] | None = None,
        thresholds: NDArray[np.float32] | None = None,
        *,
        interval: bool = False,
    ) -> None:
        super().__init__()
        self.values, self.attributes, self.interval = values, attributes, interval
        self._columns = np.arange(len(attributes)) if columns is None else columns
        self._given = thresholds
        has = self._columns >= 0
        # (A,) in the data's columns: whether the model has the attribute, and its threshold.
        self.known = np.zeros(len(attributes), np.bool_)
        self.known[self._columns[has]] = True
        self.thresholds = np.full(len(attributes), 0.5, np.float32)
        if thresholds is not None:
            self.thresholds[self._columns[has]] = thresholds[has]

    def fresh(self) -> AttributeEvaluator:
        """An empty evaluator of the same images."""
        return AttributeEvaluator(
            self.values, self.attributes, self._columns, self._given, interval=self.interval
        )

    def update(self, image_ids: Sequence[int], outputs: Sequence[Outputs]) -> None:
        """Add answers, ``probabilities`` (A_model,). Raises InputError if one is not a number."""
        if not outputs:
            return
        has = self._columns >= 0
        shares = np.zeros((len(outputs), len(self.attributes)))
        given = stack_probabilities(image_ids, outputs, len(has))
        shares[:, self._columns[has]] = given[:, has]
        self.keep(image_ids, shares)

    def compute(self) -> Score:
        """Compute metrics of what was collected. Raises InputError if no attribute varies."""
        ids, probabilities = self.stacked(len(self.attributes))
        values = self.values[ids]
        names = np.array(self.attributes.names)
        scored = self.known & (values >= 0).any(axis=0)
        vary = scored & (values == 1).any(axis=0) & (values == 0).any(axis=0)
        if not vary.any():
            raise InputError(
                f"none of the attributes that the model has varies in these {len(ids)} images"
            )
        per_attribute = {
            str(names[k]): self._one(probabilities[:, k], values[:, k], k)
            for k in np.flatnonzero(scored).tolist()
        }
        rows = [per_attribute[str(name)] for name in names[vary]]

        def mean(figure: str) -> float:
            return float(np.mean([getattr(row, figure) for row in rows]))

        metrics = {"mean_ap": mean("ap")}
        if self.interval:
            low, high = mean_interval(probabilities, values, np.flatnonzero(vary))
            metrics |= {"mean_ap_low": low, "mean_ap_high": high}
        metrics["chance_ap"] = mean("prevalence")
        metrics |= {figure: mean(figure) for figure in ("balanced", "accuracy", "majority")}
        metrics["loss"] = _cross_entropy(probabilities[:, scored], values[:, scored])
        return {
            "metrics": metrics,
            "per_attribute": per_attribute,
            "image_ids": ids,
            "values": values,
            "probabilities": probabilities,
            "unknown": tuple(names[~self.known].tolist()),
            "constant": tuple(names[scored & ~vary].tolist()),
        }

    def _one(
        self, probabilities: NDArray[np.float64], values: NDArray[np.int8], column: int
    ) -> AttributeScore:
        """Figures of a column."""
        known = values >= 0
        truth, sure = values[known] == 1, probabilities[known]
        threshold = self.thresholds[column]
        right = (sure >= threshold) == truth
        share = float(truth.mean())
        varies = 0 < share < 1
        return AttributeScore(
            ap=average_precision(sure, truth) if varies else None,
            balanced=float((right[truth].mean() + right[~truth].mean()) / 2) if varies else None,
            accuracy=float(right.mean()),
            majority=max(share, 1 - share),
            prevalence=share,
            threshold=float(threshold),
            photos=int(known.sum()),
        )

    def fit_thresholds(self) -> NDArray[np.float32]:
        """(A,) thresholds with the highest balanced accuracy on what was collected.

        An attribute that never varies, or that the model lacks, keeps .5.
        """
        ids, probabilities = self.stacked(len(self.attributes))
        values = self.values[ids]
        fitted = np.full(len(self.attributes), 0.5, np.float32)
        for column in np.flatnonzero(self.known).tolist():
            known = values[:, column] >= 0
            truth = values[known, column] == 1
            fitted[column] = fit_threshold(probabilities[known, column], truth)
        return fitted

    def write(self, folder: Path, files: Sequence[str]) -> None:
        """Write ``predictions.csv``: file, named by image id, and each attribute's probability."""
        titles = ("file", *np.array(self.attributes.names)[self.known].tolist())
        rows = (
            (files[image_id], *(f"{share:.6f}" for share in shares[self.known].tolist()))
            for image_id, shares in sorted(self.rows.items())
        )
        write_csv(folder / PREDICTIONS_NAME, titles, rows)


def _cross_entropy(probabilities: NDArray[np.float64], values: NDArray[np.int8]) -> float:
    """Mean over the known entries of (M, A)."""
    known = values >= 0
    yes = probabilities[known]
    return -float(log_of(np.where(values[known] == 1, yes, 1 - yes)).mean())


def format_metrics(score: Score) -> str:
    """The metrics as a table, and what they leave out."""
    shown = {name: f"{value:6.3f}" for name, value in score["metrics"].items()}
    return metrics_text(shown, MEANINGS, notes_on(score))


def notes_on(score: Score) -> list[str]:
    """Sentences about attributes that are not part of the means."""
    notes = []
    if score["unknown"]:
        notes.append(f"Not scored, as the model lacks them: {', '.join(score['unknown'])}.")
    if score["constant"]:
        notes.append(f"Not in the means, as they never vary here: {', '.join(score['constant'])}.")
    return notes


def format_attributes(score: Score) -> str:
    """A line per attribute, in the order of :func:`by_gain`."""
    rows = [
        (name, *("-" if value is None else f"{value:.3f}" for value in row.figures))
        for name, row in by_gain(score)
    ]
    return columns_text(TITLES, rows, _NAME)


def by_gain(score: Score) -> list[tuple[str, AttributeScore]]:
    """The attributes by balanced accuracy, best first; those that never vary last."""
    return sorted(score["per_attribute"].items(), key=lambda row: -(row[1].balanced or 0.0))
