"""How far off the answers are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.fitting.gathering import gather_rows
from tasks.runtime.session import Answer as Outputs
from tasks.weights.atomic_write import write_text

MEANINGS = {
    "within10": "share of answers that are off by ten years at most",
    "mae": "mean absolute error in years",
}


class AgeEvaluator:
    """Collects answers and compares them with the true ages."""

    def __init__(self, ages: NDArray[np.int64]) -> None:
        self.ages = ages
        self.rows: dict[int, float] = {}

    def fresh(self) -> AgeEvaluator:
        return AgeEvaluator(self.ages)

    def update(self, image_ids: Sequence[int], outputs: Sequence[Outputs]) -> None:
        for image_id, one in zip(image_ids, outputs, strict=True):
            self.rows.setdefault(int(image_id), float(one["years"][0]))

    def gather(self) -> None:
        self.rows = gather_rows(self.rows)

    def compute(self) -> dict[str, Any]:
        ids = sorted(self.rows)
        off = np.abs(np.array([self.rows[k] for k in ids]) - self.ages[ids])
        metrics = {"within10": float((off <= 10).mean()), "mae": float(off.mean())}
        return {"metrics": metrics, "off": off}

    def write(self, folder: Path, files: Sequence[str]) -> None:
        rows = {files[k]: years for k, years in sorted(self.rows.items())}
        write_text(folder / "predictions.json", json.dumps(rows))
