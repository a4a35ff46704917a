"""Evaluates distances between embeddings, batch by batch, on one process or many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.types import FacePairs
from tasks.face_embedding.protocols import Score, measure_all, measure_pairs
from tasks.fitting.gathering import RowEvaluator
from tasks.reporting.tables import metrics_text
from tasks.runtime.session import Answer as Outputs
from tasks.weights.atomic_write import write_csv

PAIRS_NAME = "pairs.csv"
MEANINGS = {
    "accuracy": "share of pairs that are right, each fold at the threshold of the others",
    "accuracy_std": "its standard deviation over the folds",
    "accuracy_error": "standard error of its mean",
    "rank1": "share of images whose nearest other image shows the same person",
    "auc": "area under the ROC: how often a pair of one person is nearer than one of two",
    "eer": "equal error rate: as many of both kinds are wrong",
    "val_1e-2": "share of pairs of one person found where 1 of 100 of two people is taken for one",
    "val_1e-3": "the same at 1 of 1000",
    "val_1e-4": "the same at 1 of 10000",
    "threshold": "squared distance (0..4) up to which two images are taken for one person",
    "selection": "AUC of the pairs that choose the weights; where all are tested, auc again",
}


class FaceEvaluator(RowEvaluator[NDArray[np.float32]]):
    """Collects embeddings (D,) float32 of length one, and compares them by a protocol.

    Args:
        labels: (N,) identity of each image, by its index.
        pairs: Pairs to compare; None compares all images with each other.
    """

    def __init__(self, labels: NDArray[np.int64], pairs: FacePairs | None = None) -> None:
        super().__init__()
        self.labels, self.pairs = labels, pairs

    @property
    def chooses(self) -> bool:
        """Whether there are pairs to select weights by, besides those that are tested."""
        return self.pairs is not None and not np.isin(self.pairs.folds, self.pairs.tested).all()

    def fresh(self) -> FaceEvaluator:
        """An empty evaluator of the same images."""
        return FaceEvaluator(self.labels, self.pairs)

    def update(self, image_ids: Sequence[int], outputs: Sequence[Outputs]) -> None:
        """Add some images by their indices; one that was added before is ignored.

        Args:
            image_ids: Indices of the images.
            outputs: Each image's ``embedding`` (D,), which is scaled to length one.

        Raises:
            InputError: If an embedding has numbers that are not finite, or is zero.
        """
        if not outputs:
            return
        given = np.stack([one["embedding"] for one in outputs]).astype(np.float64)
        lengths = np.linalg.norm(given, axis=1, keepdims=True)
        bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
        if len(bad):
            raise InputError(
                f"the embedding of image {image_ids[bad[0]]} has no direction: the weights are "
                "damaged, or the precision is too low for them"
            )
        self.keep(image_ids, (given / lengths).astype(np.float32))

    def compute(self) -> Score:
        """Compute metrics of what was collected.

        Raises:
            InputError: If an image of a pair has no embedding, or there is nothing to compare.
        """
        if self.pairs is None:
            ids = np.array(sorted(self.rows), dtype=np.int64)
            score = measure_all(self._stacked(ids), self.labels[ids])
            worst = [
                m._replace(first=int(ids[m.first]), second=int(ids[m.second]))
                for m in score["worst"]
            ]
            return {**score, "worst": worst}
        needed = np.union1d(self.pairs.first, self.pairs.second).tolist()
        missing = [index for index in needed if index not in self.rows]
        if missing:
            raise InputError(
                f"{len(missing)} images of the protocol's pairs have no embedding, the first is "
                f"number {missing[0]}: without them the folds are not those of the protocol"
            )
        first, second = self._stacked(self.pairs.first), self._stacked(self.pairs.second)
        return measure_pairs(first, second, self.pairs)

    def _stacked(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.stack([self.rows[index] for index in ids.tolist()])

    def write(self, folder: Path, files: Sequence[str]) -> None:
        """Write ``pairs.csv``: fold, both files, same, distance. Does nothing without pairs."""
        if self.pairs is None:
            return
        titles = ("fold", "first", "second", "same", "distance")
        rows = []
        columns = (self.pairs.folds, self.pairs.first, self.pairs.second, self.pairs.same)
        for fold, one, two, same in zip(*(column.tolist() for column in columns), strict=True):
            distance = float(np.square(self.rows[one] - self.rows[two]).sum(dtype=np.float64))
            rows.append((fold + 1, files[one], files[two], int(same), f"{distance:.6f}"))
        write_csv(folder / PAIRS_NAME, titles, rows)


def format_metrics(score: Score) -> str:
    """The metrics as a table, with warnings."""
    shown = {name: f"{value:7.4f}" for name, value in score["metrics"].items()}
    return metrics_text(shown, MEANINGS, (f"warning: {note}" for note in warnings_of(score)))


def warnings_of(score: Score) -> list[str]:
    """A sentence for each rate that is based on too few pairs."""
    return [f"VAL at FAR {val.far:g} {val.warning}" for val in score["vals"] if val.warning]
