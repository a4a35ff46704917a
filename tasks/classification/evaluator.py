"""Accuracy and calibration of a classifier, computed batch by batch, on one process or many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.classification import calibration
from tasks.classification.calibration import NUM_BINS, Bin
from tasks.fitting.gathering import RowEvaluator
from tasks.probabilities import log_of, softmax, stack_probabilities
from tasks.reporting.tables import columns_text, metrics_text
from tasks.runtime.session import Answer as Outputs
from tasks.weights.atomic_write import write_csv

PREDICTIONS_NAME = "predictions.csv"
MEANINGS = {
    "top1": "share of images whose most likely class is right",
    "top1_low": "lower end of its 95 % interval",
    "top1_high": "upper end of its 95 % interval",
    "top5": "share of images whose class is among the five most likely",
    "balanced": "mean over the classes of the share found of each",
    "loss": "mean negative log likelihood of the right class",
    "ece": f"expected calibration error, {NUM_BINS} bins",
    "ece_scaled": "the same with logits divided by the temperature",
    "temperature": "that fits these images best: above 1, the model is too sure",
}
_TOP = 5
# Largest number of letters of a class name in the terminal.
_NAME = 40
_RESAMPLES = 1000
_SEED = 0


class ClassScore(NamedTuple):
    """Metrics of one class: recall, precision and number of images.

    Recall is the share of the class's images that were found; None if there are none. Precision is
    the share of the images assigned to it that belong to it; None if none were assigned.
    """

    recall: float | None
    precision: float | None
    photos: int


class Score(TypedDict):
    """The result of :meth:`LabelEvaluator.compute`, over M images and the data's C classes."""

    metrics: dict[str, float]  # by the names in MEANINGS, shares in 0..1; top5 above 5 classes
    per_class: dict[str, ClassScore]  # by name, in the order of the columns
    confusion: NDArray[np.int64]  # (C, C) images, rows true, columns predicted
    reliability: list[Bin]  # by rising confidence
    image_ids: NDArray[np.int64]  # (M,) rising
    targets: NDArray[np.int64]  # (M,) true columns
    predicted: NDArray[np.int64]  # (M,) columns
    probabilities: NDArray[np.float32]  # (M, C)
    unknown: tuple[str, ...]  # classes of the data that the model lacks: always wrong


def columns_in(model: ClassMap, data: ClassMap) -> NDArray[np.int64] | None:
    """The data's column of each of the model's classes, by name or WordNet id; None if equal.

    Args:
        model: Classes of the model.
        data: Classes of the data.

    Returns:
        Columns (C_model,), -1 where the data lacks the class.

    Raises:
        InputError: If they have no class in common; the message names some of both.
    """
    if model.names == data.names:
        return None
    columns = model.labels_in(data)[1:] - 1
    if (columns < 0).all():
        ours, theirs = (_some(classes.names) for classes in (model, data))
        raise InputError(
            f"the model and the data have no class in common: the model knows {len(model)} "
            f"({ours}), the data {len(data)} ({theirs})"
        )
    return columns


class LabelEvaluator(RowEvaluator[NDArray[np.float32]]):
    """Collects probabilities and compares them with the true classes.

    If the two class lists differ, the data's is used: the model chooses among the classes in the
    data, and images of a class that the model lacks count as wrong in every metric except the loss
    (which would be infinite) and the temperature.

    Args:
        targets: (N,) column of each image, by image id.
        classes: Classes of the data.
        columns: Columns from :func:`columns_in`.

    Attributes:
        rows: Log probabilities (C,) float32 by image id, in the data's columns; minus infinity
            where the model lacks the class.
        known: (C,) whether the model has the class.
    """

    def __init__(
        self,
        targets: NDArray[np.int64],
        classes: ClassMap,
        columns: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        self.targets, self.classes, self.columns = targets, classes, columns
        self.known = np.ones(len(classes), dtype=np.bool_)
        if columns is not None:
            self.known[:] = False
            self.known[columns[columns >= 0]] = True

    def fresh(self) -> LabelEvaluator:
        """An empty evaluator of the same images."""
        return LabelEvaluator(self.targets, self.classes, self.columns)

    def update(self, image_ids: Sequence[int], outputs: Sequence[Outputs]) -> None:
        """Add answers, ``probabilities`` (C_model,). Raises InputError if one is not a number."""
        if not outputs:
            return
        width = len(self.classes) if self.columns is None else len(self.columns)
        given = log_of(stack_probabilities(image_ids, outputs, width)).astype(np.float32)
        if self.columns is not None:
            answers = np.full((len(given), len(self.classes)), -np.inf, dtype=np.float32)
            answers[:, self.columns[self.columns >= 0]] = given[:, self.columns >= 0]
            given = answers
        self.keep(image_ids, given)

    def compute(self) -> Score:
        """Compute metrics of what was collected. Raises InputError if all classes are unknown."""
        # Here, because answers of exports come without SciPy.
        from scipy.special import log_softmax  # type: ignore[import-untyped]

        ids, logits = self.stacked(len(self.classes))
        targets = self.targets[ids]
        known = self.known[targets]
        if not known.any():
            raise InputError(f"none of {len(ids)} images is of a class that the model knows")
        rank = np.where(known, _rank(logits, targets), len(self.classes))
        log_probabilities = log_softmax(logits, axis=1)
        own = np.take_along_axis(log_probabilities, targets[:, None], axis=1)[known]
        probabilities = np.exp(log_probabilities)
        predicted = logits.argmax(axis=1)
        count = len(self.classes)
        confusion = np.bincount(targets * count + predicted, minlength=count**2)
        confusion = confusion.reshape(count, count)
        per_class = _per_class(confusion, self.classes.names)
        recalls = [row.recall for row in per_class.values() if row.recall is not None]
        fitted = calibration.temperature(logits[known], targets[known])
        scaled = softmax(logits / np.float32(fitted)).max(axis=1)
        bins = calibration.reliability(probabilities.max(axis=1), rank == 0)
        calibrated = {
            "balanced": float(np.mean(recalls)),
            "loss": -float(own.mean(dtype=np.float64)),
            "ece": calibration.error(bins),
            "ece_scaled": calibration.error(calibration.reliability(scaled, rank == 0)),
            "temperature": fitted,
        }
        return {
            "metrics": _accuracies(rank, len(self.classes)) | calibrated,
            "per_class": per_class,
            "confusion": confusion,
            "reliability": bins,
            "image_ids": ids,
            "targets": targets,
            "predicted": predicted,
            "probabilities": probabilities,
            "unknown": tuple(np.array(self.classes.names)[~self.known].tolist()),
        }

    def write(self, folder: Path, files: Sequence[str]) -> None:
        """Write ``predictions.csv``; ``files`` names each image, by image id."""
        titles = ("file", "true", "predicted", "probability", "top5")
        names = self.classes.names
        rows = []
        for image_id in sorted(self.rows):
            row = self.rows[image_id]
            best = [k for k in np.argsort(-row, kind="stable")[:_TOP].tolist() if row[k] > -np.inf]
            probability = float(softmax(row)[best[0]])
            five = "; ".join(names[k] for k in best)
            true = names[self.targets[image_id]]
            rows.append((files[image_id], true, names[best[0]], f"{probability:.6f}", five))
        write_csv(folder / PREDICTIONS_NAME, titles, rows)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _rank(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """(M,) number of classes before the true one; ties are broken by order, as in argmax."""
    own = np.take_along_axis(logits, targets[:, None], axis=1)
    first = np.arange(logits.shape[1]) < targets[:, None]
    return np.asarray(((logits > own) | ((logits == own) & first)).sum(axis=1))


def _accuracies(rank: NDArray[np.int64], num_classes: int) -> dict[str, float]:
    """Top-1 with its interval, and top-5 if there are enough classes."""
    low, high = interval(rank == 0)
    metrics = {"top1": float((rank == 0).mean()), "top1_low": low, "top1_high": high}
    return metrics | ({"top5": float((rank < _TOP).mean())} if num_classes > _TOP else {})


def _per_class(confusion: NDArray[np.int64], names: Sequence[str]) -> dict[str, ClassScore]:
    found = {}
    for k, name in enumerate(names):
        hits, true, given = confusion[k, k], confusion[k].sum(), confusion[:, k].sum()
        recall = float(hits / true) if true else None
        found[name] = ClassScore(recall, float(hits / given) if given else None, int(true))
    return found


def interval(right: NDArray[np.bool_]) -> tuple[float, float]:
    """Bootstrap interval (95 %) of the accuracy over images (M,); deterministic."""
    # Drawing M images with replacement and counting the correct ones is one binomial draw.
    rng = np.random.default_rng(_SEED)
    shares = rng.binomial(len(right), right.mean(), _RESAMPLES) / len(right)
    low, high = np.percentile(shares, (2.5, 97.5)).tolist()
    return low, high


def format_metrics(score: Score) -> str:
    """The metrics as a table, and what they leave out."""
    shown = {name: f"{value:6.3f}" for name, value in score["metrics"].items()}
    return metrics_text(shown, MEANINGS, filter(None, [unknown_note(score)]))


def unknown_note(score: Score) -> str:
    """A sentence on the classes that the model lacks; empty if it knows all."""
    unknown = score["unknown"]
    if not unknown:
        return ""
    photos = sum(score["per_class"][name].photos for name in unknown)
    return (
        f"The model lacks {len(unknown)} of the data's {len(score['per_class'])} classes "
        f"({_some(unknown)}): images of these ({photos}) count as wrong, and not in the loss."
    )


def format_classes(score: Score, limit: int = 40) -> str:
    """Recall, precision and number of images per class, best first; only the worst of many."""
    rows = by_recall(score)
    cells = []
    for name, row in rows[-limit:]:
        precision = "-" if row.precision is None else f"{row.precision:.3f}"
        cells.append((name, f"{row.recall:.3f}", precision, str(row.photos)))
    table = columns_text(("class", "recall", "precision", "photos"), cells, _NAME)
    if len(rows) <= limit:
        return table
    return f"  the {limit} of {len(rows)} classes with the lowest recall\n{table}"


def by_recall(score: Score) -> list[tuple[str, ClassScore]]:
    """The classes that have images, best first."""
    rows = [(name, row) for name, row in score["per_class"].items() if row.photos]
    return sorted(rows, key=lambda row: -(row[1].recall or 0.0))
