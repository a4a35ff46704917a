"""Whether a classifier's confidence matches its accuracy (Guo et al., arXiv 1706.04599)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15
_LOG_TEMPERATURES = (-3.0, 3.0)


class Bin(NamedTuple):
    """Images whose predictions have about the same confidence.

    The confidence is their mean probability of the predicted class, or the middle of an empty bin;
    the accuracy is the share of correct predictions, 0 in an empty bin.
    """

    confidence: float
    accuracy: float
    photos: int


def reliability(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> list[Bin]:
    """Accuracy over confidence, in bins of equal width.

    Args:
        confidence: (M,) probability of the predicted class, in (0, 1].
        right: (M,) whether the prediction is correct.
    """
    # A bin contains its upper end, not its lower one, as in Guo et al.
    index = np.clip(np.ceil(confidence.astype(np.float64) * NUM_BINS) - 1, 0, NUM_BINS - 1)
    bins = []
    for k in range(NUM_BINS):
        inside = index == k
        count = int(inside.sum())
        mean = float(confidence[inside].mean(dtype=np.float64)) if count else (k + 0.5) / NUM_BINS
        bins.append(Bin(mean, float(right[inside].mean()) if count else 0.0, count))
    return bins


def error(bins: Sequence[Bin]) -> float:
    """Mean difference between confidence and accuracy over the images (Guo et al., equation 3)."""
    total = sum(row.photos for row in bins)
    return sum(row.photos * abs(row.accuracy - row.confidence) for row in bins) / total


def temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The divisor of logits that minimises their mean negative log likelihood.

    It changes no decision, only the confidence of the model (Guo et al., section 4.2). It is
    searched for between 0.05 and 20; a model without mistakes ends at the lower end.

    Args:
        logits: (M, C) logits, minus infinity where a class is unknown.
        targets: (M,) columns of known classes.
    """
    # Here, because answers of exports come without SciPy.
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

    below = logits - logits.max(axis=1, keepdims=True)
    own = np.take_along_axis(below, targets[:, None], axis=1)[:, 0]

    def loss(log_temperature: float) -> float:
        inverse = np.float32(np.exp(-log_temperature))
        total = np.log(np.exp(below * inverse).sum(axis=1))
        return float((total - own * inverse).mean(dtype=np.float64))

    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded")
    return float(np.exp(found.x))
