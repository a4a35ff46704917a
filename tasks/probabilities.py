"""Logarithms of probabilities, with one floor for all who take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Just above the smallest normal float32: a probability that was rounded to zero counts as this.
FLOOR = 1e-37


def log_of(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Natural logarithm of probabilities in 0..1, those below 1e-37 taken for that."""
    return np.asarray(np.log(np.maximum(probabilities, FLOOR)))
