"""Probabilities for evaluators, and their logarithms, with one floor for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.session import Answer as Outputs

# Just above the smallest normal float32: a probability that was rounded to zero counts as this.
FLOOR = 1e-37


def log_of(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Natural logarithm of probabilities in 0..1, with a floor of 1e-37."""
    return np.asarray(np.log(np.maximum(probabilities, FLOOR)))


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities that sum to 1 along the last axis, from logits of the same shape."""
    # SciPy's own takes a second to import, and exports answer without it.
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def stack_probabilities(
    image_ids: Sequence[int], outputs: Sequence[Outputs], width: int
) -> NDArray[Any]:
    """The probabilities (B, width) that were answered for images of some ids.

    Raises InputError naming the image if a probability is not a number.
    """
    shares = np.stack([one["probabilities"] for one in outputs])
    assert shares.shape == (len(image_ids), width), f"{shares.shape}: {width} expected"
    bad = np.flatnonzero(~np.isfinite(shares).all(axis=1))
    if len(bad):
        raise InputError(
            f"the answers to image {image_ids[bad[0]]} are not finite numbers: the weights "
            "are damaged, or the precision is too low for them"
        )
    return shares
