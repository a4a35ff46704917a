"""Named outputs as evaluators take them."""

from typing import Any

import numpy as np
from scipy.special import softmax  # type: ignore[import-untyped]

from tasks.runtime.session import Answer as Outputs


def probabilities_of(logits: Any) -> list[Outputs]:
    """The probabilities of some photos from their logits (B, C), in float64.

    Args:
        logits: Logits, in anything that NumPy reads.
    """
    return [{"probabilities": softmax(row)} for row in np.asarray(logits, dtype=np.float64)]
