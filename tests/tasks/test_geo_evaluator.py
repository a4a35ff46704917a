"""Distances, shares, GeoScore, regions and abstaining, on cases worked by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics.pairwise import haversine_distances

from tasks.geolocation.decode import decode
from tasks.geolocation.evaluator import (
    GeoEvaluator,
    few_note,
    format_metrics,
    geoscore,
    with_intervals,
)
from tasks.geolocation.partition import Partition
from tasks.geolocation.s2 import cell_ids, centres, parents
from tasks.geolocation.spec import DecodeSpec
from tasks.geolocation.sphere import EARTH_KM, distance_km, unit_vectors
from tests.tasks.outputs import probabilities_of

# A degree along a great circle.
DEGREE = EARTH_KM * np.pi / 180


def cells_at(*places: tuple[float, float], level: int = 8) -> Partition:
    """One cell around each place, whose photos were all taken there."""
    lat, lng = np.array(places, np.float64).T
    ids = parents(cell_ids(lat, lng), level)
    return Partition(ids, np.arange(1, len(lat) + 1), lat, lng)


@pytest.fixture
def line() -> Partition:
    """Five cells on the equator, at 0, 1, 2, 40 and 120 degrees east."""
    return cells_at((0, 0), (0, 1), (0, 2), (0, 40), (0, 120))


def logits(*shares: float) -> NDArray[np.float32]:
    return np.asarray(np.log(np.maximum(np.array([shares]), 1e-30)), np.float32)


def test_distances_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    lat, lng = rng.uniform(-90, 90, 500), rng.uniform(-180, 180, 500)
    radians = np.radians(np.column_stack((lat, lng)))
    wanted = haversine_distances(radians) * EARTH_KM
    np.testing.assert_allclose(
        distance_km(lat[:, None], lng[:, None], lat, lng), wanted, atol=1e-6
    )


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        ((0, 0), (0, 1), DEGREE),
        ((0, 179.5), (0, -179.5), DEGREE),
        ((90, 0), (90, 123), 0),
        ((-90, 7), (90, 7), 180 * DEGREE),
        ((0, 0), (0, 180), 180 * DEGREE),
        ((60, 0), (60, 180), 60 * DEGREE),
        # 111 metres: a product of unit vectors in float32 makes 2.2 km of it.
        ((48.858, 2.294), (48.859, 2.294), 0.001 * DEGREE),
    ],
)
def test_distances_by_hand(
    one: tuple[float, float], other: tuple[float, float], km: float
) -> None:
    found = distance_km(*(np.array(v, np.float64) for v in (*one, *other)))
    assert found == pytest.approx(km, abs=1e-6)


def test_geoscore_by_hand() -> None:
    points = geoscore(np.array([0.0, 1492.7, 2 * 1492.7]))
    np.testing.assert_allclose(points, (5000, 5000 / np.e, 5000 / np.e**2))


def test_shares_by_hand() -> None:
    km = np.array([0.5, 1.0, 24.9, 25.1, 199, 201, 749, 751, 2499, 20000.0])
    found = with_intervals(km)
    shares = {r: found[f"km{r}"] for r in (1, 25, 200, 750, 2500)}
    assert shares == {1: 0.2, 25: 0.3, 200: 0.5, 750: 0.7, 2500: 0.9}
    assert found["median_km"] == 200
    for name in (*(f"km{r}" for r in shares), "median_km", "geoscore"):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]


@pytest.mark.slow
def test_intervals_hold_what_they_promise(rng: np.random.Generator) -> None:
    """On 237 photos, Im2GPS's number, the true share is inside about 95 times of 100."""
    inside, widths = [], []
    for _ in range(20):
        km = np.where(rng.random(237) < 0.32, 10.0, 5000.0)
        found = with_intervals(km)
        inside.append(found["km25_low"] <= 0.32 <= found["km25_high"])
        widths.append(found["km25_high"] - found["km25_low"])
    assert np.mean(inside) > 0.8
    assert 0.10 < np.mean(widths) < 0.13  # Twelve points, from end to end.


@pytest.mark.parametrize(
    ("decoding", "wanted"),
    # local: cells 0, 1 and 2 lie near; 40 and 120 do not: (.3*0 + .25*1 + .2*2) / .75.
    [("mean", 0.0), ("local", 0.65 / 0.75)],
)
def test_decoding_by_hand(line: Partition, decoding: str, wanted: float) -> None:
    spec = DecodeSpec(decoding=decoding, near_km=300)
    places = decode(logits(0.3, 0.25, 0.2, 0.15, 0.1), line, spec)
    assert places.lat[0] == pytest.approx(0, abs=1e-9)
    assert places.lng[0] == pytest.approx(wanted, abs=1e-4)


def test_the_centre_is_the_cells_own(line: Partition) -> None:
    places = decode(logits(0, 0, 1, 0, 0), line, DecodeSpec(decoding="centre"))
    lat, lng = centres(line.ids[2:3])
    assert (places.lat[0], places.lng[0]) == (lat[0], lng[0])
    assert distance_km(lat[0], lng[0], line.lat[2], line.lng[2]) > 1


def test_only_the_top_cells_count(line: Partition) -> None:
    spec = DecodeSpec(top_cells=1)
    assert decode(logits(0.4, 0.3, 0.3, 0, 0), line, spec).lng[0] == pytest.approx(0, abs=1e-9)


def test_an_answer_over_the_antimeridian() -> None:
    cells = cells_at((0, 179.5), (0, -179.5))
    places = decode(logits(0.5, 0.5), cells, DecodeSpec(near_km=300))
    assert abs(places.lng[0]) == pytest.approx(180)


@pytest.mark.parametrize(
    ("mass", "count"), [(0.3, 1), (0.31, 2), (0.55, 2), (0.76, 4), (0.9, 4), (0.91, 5), (0.999, 5)]
)
def test_the_region_is_the_smallest_set(line: Partition, mass: float, count: int) -> None:
    shares = (0.25, 0.3, 0.1, 0.2, 0.15)
    places = decode(logits(*shares), line, DecodeSpec(region=mass))
    assert places.region[0] == count
    assert places.order[0].tolist() == [1, 0, 3, 4, 2]
    falling = np.sort(shares)[::-1].cumsum()
    assert falling[count - 1] >= mass - 1e-6
    assert count == 1 or falling[count - 2] < mass


def test_confidence_and_reach(line: Partition) -> None:
    spec = DecodeSpec(decoding="mean", near_km=1.5 * DEGREE, region=0.7)
    places = decode(logits(0.4, 0.2, 0.1, 0.3, 0), line, spec)
    # Near 0 lie 0 and 1, but not 2; the region is 0 and 40.
    assert places.confidence[0] == pytest.approx(0.6)
    assert places.region[0] == 2
    assert places.radius_km[0] == pytest.approx(40 * DEGREE, rel=1e-6)


def test_a_temperature_widens_the_region(line: Partition) -> None:
    given = logits(0.95, 0.02, 0.01, 0.01, 0.01)
    narrow, wide = (decode(given, line, DecodeSpec(), t) for t in (1.0, 5.0))
    assert narrow.region[0] == 1
    assert wide.region[0] > 3
    assert wide.order[0, 0] == narrow.order[0, 0]


def evaluate(line: Partition, spec: DecodeSpec, rows: NDArray[np.float32]) -> GeoEvaluator:
    """Four photos: three in cells, one in none."""
    lat, lng = np.array([0.0, 0.0, 0.0, 50.0]), np.array([0.0, 2.0, 40.0, 0.0])
    evaluator = GeoEvaluator(lat, lng, line, spec)
    evaluator.update([2, 0], probabilities_of(rows[[2, 0]]))
    # A photo again, other logits.
    evaluator.update([1, 3, 0], probabilities_of(rows[[1, 3, 3]]))
    return evaluator


ANSWERS = np.concatenate(
    (
        logits(0.8, 0.05, 0.05, 0.05, 0.05),  # Right.
        logits(0.7, 0.1, 0.1, 0.05, 0.05),  # Two degrees off.
        logits(0.01, 0.01, 0.01, 0.47, 0.5),  # Eighty degrees off.
        logits(0.96, 0.01, 0.01, 0.01, 0.01),  # Of no cell; fifty degrees off.
    )
)


def test_the_evaluator_by_hand(line: Partition, tmp_path: Path) -> None:
    evaluator = evaluate(line, DecodeSpec(decoding="mean", region=0.75), ANSWERS)
    score = evaluator.compute()
    metrics = score["metrics"]
    assert score["image_ids"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(score["km"], np.array((0, 2, 80, 50)) * DEGREE, atol=1e-6)
    assert {r: metrics[f"km{r}"] for r in (1, 200, 750)} == {1: 0.25, 200: 0.25, 750: 0.5}
    assert metrics["median_km"] == pytest.approx(26 * DEGREE)
    assert metrics["cell"] == 0.25
    # Regions: {0}; {0, 1 or 2}: the equal cell that comes first is taken; {4, 3}; {0}.
    assert metrics["region_cells"] == 1.5
    assert metrics["coverage"] == 0.5
    assert metrics["loss"] == pytest.approx(-np.log([0.8, 0.1, 0.47]).mean(), rel=1e-5)
    assert metrics["answered"] == 1
    evaluator.write(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], score)
    with (tmp_path / "predictions.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert rows[1]["file"] == "b.jpg"
    assert float(rows[1]["km"]) == pytest.approx(2 * DEGREE, abs=1e-3)
    assert "by chance" in format_metrics(score)
    assert "Only 4 images" in few_note(score)


@pytest.mark.slow
def test_chance_by_hand(line: Partition) -> None:
    """Cells hold 1 to 5 of 15 photos; within 750 km of 0 and 2 lie the first three, of 40 one."""
    chance = evaluate(line, DecodeSpec(), ANSWERS).compute()["chance"]
    assert chance["km750"] == pytest.approx((6 + 6 + 4 + 0) / 15 / 4)
    assert chance["km1"] == pytest.approx((1 + 3 + 4 + 0) / 15 / 4)


def test_abstaining(line: Partition) -> None:
    spec = DecodeSpec(decoding="mean", abstain=0.6, near_km=10)
    metrics = evaluate(line, spec, ANSWERS).compute()["metrics"]
    assert metrics["answered"] == 0.75  # All but the third, whose best cell has .5.
    assert metrics["km25"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match=r"--abstain 0.99: none of 4 images was answered"):
        evaluate(line, replace(spec, abstain=0.99), ANSWERS).compute()


@pytest.mark.slow
def test_ways_of_decoding_are_told_beside_each_other(line: Partition) -> None:
    score = evaluate(line, DecodeSpec(decoding="centre"), ANSWERS).compute()
    assert score["by_way"].keys() == {"local", "mean", "centre"}
    assert score["by_way"]["mean"]["km1"] == 0.25
    assert score["by_way"]["centre"]["km1"] == 0
    assert score["metrics"]["km25"] == score["by_way"]["centre"]["km25"]


@pytest.mark.slow
def test_the_fitted_temperature_calibrates_the_regions(rng: np.random.Generator) -> None:
    """Labels drawn from softmax(x); a model that answers 4 x is told to divide by 4."""
    cells = cells_at(*[(lat, lng) for lat in (-40, 0, 40) for lng in range(-170, 171, 20)])
    count = 3000
    scores = rng.normal(0, 1.5, (count, len(cells)))
    gumbel = scores + rng.gumbel(size=scores.shape)
    own = gumbel.argmax(axis=1)
    over_sure = 4 * scores

    def score(temperature: float) -> dict[str, float]:
        evaluator = GeoEvaluator(
            cells.lat[own], cells.lng[own], cells, DecodeSpec(region=0.9), temperature
        )
        evaluator.update(range(count), probabilities_of(over_sure / temperature))
        return evaluator.compute()["metrics"]

    before = score(1.0)
    assert before["temperature"] == pytest.approx(4, rel=0.1)
    assert before["coverage"] < 0.6
    assert score(before["temperature"])["coverage"] == pytest.approx(0.9, abs=0.03)


def test_probabilities_that_are_no_numbers(line: Partition) -> None:
    broken = probabilities_of(ANSWERS[:1])
    broken[0]["probabilities"][2] = float("nan")
    evaluator = GeoEvaluator(np.zeros(1), np.zeros(1), line, DecodeSpec())
    with pytest.raises(ValueError, match="the answers to image 0 are not finite numbers"):
        evaluator.update([0], broken)


def test_units_keep_directions(rng: np.random.Generator) -> None:
    units = unit_vectors(rng.uniform(-90, 90, 50), rng.uniform(-180, 180, 50))
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1)
    np.testing.assert_allclose(
        unit_vectors(np.array([0, 90.0]), np.zeros(2)), [(1, 0, 0), (0, 0, 1)], atol=1e-15
    )
