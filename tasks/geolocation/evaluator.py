"""Distances from the truth: shares within distances, GeoScore, coverage of the regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.classification.calibration import temperature as fit_temperature
from tasks.classification.evaluator import PREDICTIONS_NAME, interval
from tasks.fitting.gathering import RowEvaluator, gather_rows
from tasks.geolocation.decode import decode, positions
from tasks.geolocation.partition import Partition
from tasks.geolocation.spec import DecodeSpec, Decoding
from tasks.geolocation.sphere import EARTH_KM, Floats, distance_km, unit_vectors
from tasks.probabilities import log_of, stack_probabilities
from tasks.reporting.tables import metrics_text
from tasks.runtime.session import Answer as Outputs
from tasks.weights.atomic_write import write_csv

# Street, city, region, country, continent (Hays and Efros, Im2GPS; the paper's table 11).
RADII_KM = (1, 25, 200, 750, 2500)
WAYS: tuple[Decoding, ...] = get_args(Decoding)
MEANINGS = {
    "km1": "share of images answered within 1 km (street)",
    "km25": "within 25 km (city)",
    "km200": "within 200 km (region)",
    "km750": "within 750 km (country)",
    "km2500": "within 2500 km (continent)",
    "median_km": "half of the answers are nearer than this",
    "geoscore": "mean of 5000 exp(-km / 1492.7), 5000 at best",
    "cell": "share of images whose most likely cell is the right one",
    "coverage": "share of images whose cell is in the region of the answer",
    "region_cells": "cells of the region, median",
    "region_km": "how far the region reaches from the answer, median",
    "answered": "share of images that were answered, not abstained from; the above are of these",
    "loss": "mean negative log likelihood of the right cell",
    "temperature": "that fits these images best: above 1, the model is too sure",
}
_GEOSCORE_KM = 1492.7
_RESAMPLES, _SEED = 1000, 0
# With fewer images than this, the report mentions the intervals.
_FEW = 1000
# Number of values that are kept of all logits to fit the temperature: 200 MB.
_KEPT = 50_000_000
_ROW = np.dtype(
    [
        ("lat", "f8", (len(WAYS),)),
        ("lng", "f8", (len(WAYS),)),
        ("confidence", "f8"),
        ("cell", "i8"),
        ("log_probability", "f8"),
        ("covered", "?"),
        ("region_cells", "i8"),
        ("region_km", "f8"),
        ("chance", "f8", (len(RADII_KM),)),
    ]
)


class Score(TypedDict):
    """The result of :meth:`GeoEvaluator.compute` over M images."""

    metrics: dict[str, float]  # by the names in MEANINGS; _low and _high behind those of a share
    by_way: dict[str, dict[str, float]]  # shares, median and GeoScore of each way of decoding
    chance: dict[str, float]  # shares of answers that are drawn from the cells by their images
    image_ids: NDArray[np.int64]  # (M,) rising
    lat: Floats  # (M,) answers
    lng: Floats  # (M,)
    km: Floats  # (M,) from the truth
    confidence: Floats  # (M,) 0..1
    answered: NDArray[np.bool_]  # (M,)


class GeoEvaluator(RowEvaluator[NDArray[Any]]):
    """Collects answers and computes their distances from the truth.

    Args:
        lat: (N,) true latitudes by image id, in degrees.
        lng: (N,) true longitudes by image id, in degrees.
        partition: Cells of the model.
        spec: Options of decoding.
        temperature: Divisor of the model's logits.
    """

    def __init__(
        self,
        lat: Floats,
        lng: Floats,
        partition: Partition,
        spec: DecodeSpec,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.lat, self.lng, self.partition = lat, lng, partition
        self.spec, self.temperature = spec, temperature
        self._columns = partition.columns_at(lat, lng)
        # Logits (C,) of as many images as fit, for the temperature.
        self.kept: dict[int, NDArray[np.float32]] = {}

    def fresh(self, temperature: float | None = None) -> GeoEvaluator:
        """An empty evaluator of the same images."""
        used = self.temperature if temperature is None else temperature
        return GeoEvaluator(self.lat, self.lng, self.partition, self.spec, used)

    def update(self, image_ids: Sequence[int], outputs: Sequence[Outputs]) -> None:
        """Add the answers to some images; an image that was added before is ignored.

        Args:
            image_ids: Ids of the images.
            outputs: Each image's ``probabilities`` (C,) of the partition's cells.

        Raises:
            InputError: If a probability is not a number.
        """
        if not outputs:
            return
        shares = stack_probabilities(image_ids, outputs, len(self.partition))
        given = (log_of(shares) * self.temperature).astype(np.float32)
        ids = np.asarray(image_ids, np.int64)
        self.keep(ids.tolist(), self._rows(ids, given))
        for image_id, logit in zip(ids.tolist(), given, strict=True):
            if self._columns[image_id] >= 0 and (len(self.kept) + 1) * len(logit) <= _KEPT:
                self.kept.setdefault(image_id, logit)

    def _rows(self, ids: NDArray[np.int64], logits: NDArray[np.float32]) -> NDArray[Any]:
        """Answers (B,) of type ``_ROW``."""
        places = decode(logits, self.partition, self.spec, self.temperature)
        rows = np.empty(len(ids), _ROW)
        for k, way in enumerate(WAYS):
            rows["lat"][:, k], rows["lng"][:, k] = positions(
                places.probabilities, places.order, self.partition, way, self.spec
            )
        own = self._columns[ids]
        rank = np.where(own >= 0, (places.order == own[:, None]).argmax(axis=1), len(logits[0]))
        rows["covered"] = rank < places.region
        mine = places.probabilities[np.arange(len(ids)), np.maximum(own, 0)]
        rows["log_probability"] = np.where(own >= 0, np.log(np.maximum(mine, 1e-300)), np.nan)
        rows["cell"], rows["confidence"] = places.order[:, 0], places.confidence
        rows["region_cells"], rows["region_km"] = places.region, places.radius_km
        cosines = unit_vectors(self.lat[ids], self.lng[ids]) @ self.partition.units.T
        shares = self.partition.counts / self.partition.counts.sum()
        for k, km in enumerate(RADII_KM):
            rows["chance"][:, k] = (cosines >= np.cos(km / EARTH_KM)) @ shares
        return rows

    def gather(self) -> None:
        """Collect the answers of all processes on each process."""
        super().gather()
        self.kept = gather_rows(self.kept)

    def compute(self) -> Score:
        """Compute metrics of what was collected. Raises InputError if no image was answered."""
        ids = np.array(sorted(self.rows), np.int64)
        rows = np.array([self.rows[k] for k in ids.tolist()], _ROW)
        answered = rows["confidence"] >= self.spec.abstain
        if not answered.any():
            raise InputError(
                f"--abstain {self.spec.abstain}: none of {len(ids)} images was answered; the "
                f"surest has confidence {rows['confidence'].max(initial=0):.3f}"
            )
        truth = self.lat[ids], self.lng[ids]
        distances = [
            distance_km(rows["lat"][:, k], rows["lng"][:, k], *truth) for k in range(len(WAYS))
        ]
        chosen = WAYS.index(self.spec.decoding)
        km = distances[chosen]
        chance = rows["chance"].mean(axis=0)
        return {
            "metrics": with_intervals(km[answered]) | self._others(ids, rows, answered),
            "by_way": {w: _distances(d[answered]) for w, d in zip(WAYS, distances, strict=True)},
            "chance": {f"km{r}": float(v) for r, v in zip(RADII_KM, chance, strict=True)},
            "image_ids": ids,
            "lat": rows["lat"][:, chosen],
            "lng": rows["lng"][:, chosen],
            "km": km,
            "confidence": rows["confidence"],
            "answered": answered,
        }

    def _others(
        self, ids: NDArray[np.int64], rows: NDArray[Any], answered: NDArray[np.bool_]
    ) -> dict[str, float]:
        """Metrics that are not distances; those of answers are over the answered images."""
        logs = rows["log_probability"]
        has_cell = np.isfinite(logs)
        some = rows[answered]
        temperature = 1.0  # Where no image lies in a cell.
        if kept := sorted(self.kept):
            logits = np.stack([self.kept[k] for k in kept])
            temperature = fit_temperature(logits, self._columns[kept])
        return {
            "cell": float((rows["cell"] == self._columns[ids])[answered].mean()),
            "coverage": float(some["covered"].mean()),
            "region_cells": float(np.median(some["region_cells"])),
            "region_km": float(np.median(some["region_km"])),
            "answered": float(answered.mean()),
            "loss": -float(logs[has_cell].mean()) if has_cell.any() else float("nan"),
            "temperature": temperature,
        }

    def write(self, folder: Path, files: Sequence[str], score: Score) -> None:
        """Write ``predictions.csv``: a line for each image, named by its image id in ``files``."""
        titles = ("file", "lat", "lon", "answer_lat", "answer_lon", "km", "confidence", "answered")
        rows = []
        keys = ("lat", "lng", "km", "confidence", "answered")
        columns = zip(score["image_ids"].tolist(), *(score[k].tolist() for k in keys), strict=True)  # type: ignore[literal-required]
        for k, lat, lng, km, confidence, answered in columns:
            truth = f"{self.lat[k]:.6f}", f"{self.lng[k]:.6f}"
            answer = f"{lat:.6f}", f"{lng:.6f}", f"{km:.3f}", f"{confidence:.4f}", int(answered)
            rows.append((files[k], *truth, *answer))
        write_csv(folder / PREDICTIONS_NAME, titles, rows)


def geoscore(km: Floats) -> Floats:
    """Points of the game GeoGuessr for answers at these distances: 5000 to 0."""
    return np.asarray(5000 * np.exp(-km / _GEOSCORE_KM))


def _distances(km: Floats) -> dict[str, float]:
    """Shares within the radii, median and GeoScore of distances (M,)."""
    shares = {f"km{radius}": float((km <= radius).mean()) for radius in RADII_KM}
    return shares | {"median_km": float(np.median(km)), "geoscore": float(geoscore(km).mean())}


def with_intervals(km: Floats) -> dict[str, float]:
    """Metrics of distances (M,), each with the ends of its 95 % bootstrap interval."""
    metrics = _distances(km)
    found = {f"km{radius}": interval(km <= radius) for radius in RADII_KM}
    rng = np.random.default_rng(_SEED)
    draws = np.empty((_RESAMPLES, 2))
    for k in range(_RESAMPLES):
        drawn = km[rng.integers(len(km), size=len(km))]
        draws[k] = np.median(drawn), geoscore(drawn).mean()
    low, high = np.percentile(draws, (2.5, 97.5), axis=0)
    for k, name in enumerate(("median_km", "geoscore")):
        found[name] = float(low[k]), float(high[k])
    for name, (least, most) in found.items():
        metrics[f"{name}_low"], metrics[f"{name}_high"] = least, most
    return metrics


def few_note(score: Score) -> str:
    """A sentence about wide intervals; empty if there are enough images."""
    count = int(score["answered"].sum())
    if count >= _FEW:
        return ""
    metrics = score["metrics"]
    widest = max(metrics[f"km{r}_high"] - metrics[f"km{r}_low"] for r in RADII_KM)
    return (
        f"Only {count} images: the intervals are wide, up to {100 * widest:.0f} points from end "
        "to end. Two models whose intervals overlap are not distinguished by these images."
    )


def format_metrics(score: Score) -> str:
    """The metrics as a table, with intervals and chance where they exist."""
    metrics, chance = score["metrics"], score["chance"]
    shown = {}
    for name in MEANINGS:
        value = metrics[name]
        text = f"{value:8.3f}" if abs(value) < 100 else f"{value:8.0f}"
        if f"{name}_low" in metrics:
            low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
            ends = f"{low:.3f} to {high:.3f}" if high < 100 else f"{low:.0f} to {high:.0f}"
            text += f"  (95 %: {ends})"
        shown[name] = f"{text:34s}"
    meanings = {
        name: f"{meaning}; by chance {chance[name]:.3f}" if name in chance else meaning
        for name, meaning in MEANINGS.items()
    }
    return metrics_text(shown, meanings, filter(None, [few_note(score)]))
