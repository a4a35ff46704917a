"""Adaptive partitions: against a slow one written from the definition, on disk, and nested."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import s2sphere
import torch

from datasets.positions.columns import read_positions
from tasks.geolocation import s2
from tasks.geolocation.atlas import Atlas, atlas_of
from tasks.geolocation.partition import (
    Partition,
    is_cells,
    read_cells,
    split_adaptively,
    write_cells,
)
from tasks.geolocation.sphere import Floats, distance_km, nearest_km, unit_vectors

# As the public lists begin, with two lines above the header; labels in any order.
PUBLIC = """num_images: 4723695
min_concept_probability: ---
class_label,hex_id,imgs_per_cell,latitude_mean,longitude_mean
1,364,2728,35.9593396631232,108.13288446407641
0,8744,3376,39.28162046949048,-107.94343695171831
2,89c6c74,235,39.98461821276593,-75.21640030212768
"""


@pytest.fixture
def towns(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """3,000 positions around ten towns, one of which lies on the antimeridian, one at a pole."""
    places = np.array([(89.9, 0), (10, 180), *rng.uniform(-60, 60, (8, 2))])
    near = places[rng.integers(10, size=3000)] + rng.normal(0, 0.3, (3000, 2))
    return near[:, 0].clip(-90, 90), (near[:, 1] + 180) % 360 - 180


def slow_split(lat: Floats, lng: Floats, most: int, least: int) -> dict[str, int]:
    """PlaNet's text, one cell at a time, on another library's cells."""
    points = zip(lat.tolist(), lng.tolist(), strict=True)
    cells = [s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(*p)) for p in points]
    done: dict[str, int] = {}
    level, inside = 0, cells
    while inside:
        counts = Counter(cell.parent(level).id() for cell in inside)
        kept = {k: n for k, n in counts.items() if n <= most or level == s2.MAX_LEVEL}
        done |= {s2sphere.CellId(k).to_token(): n for k, n in kept.items() if n >= least}
        inside = [cell for cell in inside if cell.parent(level).id() not in kept]
        level += 1
    return done


@pytest.mark.slow
@pytest.mark.parametrize(("most", "least"), [(200, 10), (50, 1), (20, 20)])
def test_it_is_the_partition_of_the_definition(
    towns: tuple[Floats, Floats], most: int, least: int
) -> None:
    found = split_adaptively(*towns, most=most, least=least)
    counts = dict(zip(found.tokens, found.counts.tolist(), strict=True))
    assert counts == slow_split(*towns, most, least)
    columns = found.columns_at(*towns)
    assert Counter(columns[columns >= 0].tolist()) == Counter(dict(enumerate(found.counts)))
    for k in range(0, len(found), 7):  # Means are of the positions on the globe.
        mean = unit_vectors(*(values[columns == k] for values in towns)).mean(axis=0)
        lat, lng = (np.array(value) for value in _place(mean))
        assert distance_km(lat, lng, found.lat[k], found.lng[k]) < 1e-6


def _place(vector: Floats) -> tuple[float, float]:
    x, y, z = vector / np.linalg.norm(vector)
    return float(np.degrees(np.arcsin(z))), float(np.degrees(np.arctan2(y, x)))


def test_a_mean_on_the_antimeridian_stays_there() -> None:
    found = split_adaptively(np.zeros(4), np.array([179.0, -179, 178, -178]), most=4, least=1)
    assert len(found) == 1
    assert abs(found.lng[0]) == pytest.approx(180)


def test_many_photos_of_one_point_end_in_a_leaf() -> None:
    found = split_adaptively(np.full(100, 48.85), np.full(100, 2.35), most=10, least=5)
    assert s2.levels(found.ids).tolist() == [30]
    assert found.counts.tolist() == [100]


def test_too_few_positions() -> None:
    with pytest.raises(ValueError, match="3 positions are too few for cells of 50 or more images"):
        split_adaptively(np.arange(3.0), np.arange(3.0))


def test_public_lists_are_read_in_the_order_of_their_labels() -> None:
    assert is_cells(PUBLIC)
    assert not is_cells("IMG_ID,LAT,LON\n1,2,3\n")
    cells = read_cells(Path("cells.csv"), PUBLIC)
    assert cells.tokens == ["8744", "364", "89c6c74"]
    assert cells.counts.tolist() == [3376, 2728, 235]
    # The means lie in their own cells.
    assert cells.columns_at(cells.lat, cells.lng).tolist() == [0, 1, 2]


def test_a_list_comes_back_as_it_was(tmp_path: Path, towns: tuple[Floats, Floats]) -> None:
    cells = split_adaptively(*towns, most=100, least=5)
    write_cells(tmp_path / "cells.csv", cells)
    again = read_cells(tmp_path / "cells.csv", (tmp_path / "cells.csv").read_text())
    for name in ("ids", "counts", "lat", "lng"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cells, name))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("364,2728", "xyz,2728", "'xyz' is not the token of an S2 cell"),
        ("1,364,2728,", "1,364,many,", "line 4: no cell"),
        ("2,89c6c74", "7,89c6c74", "class_label does not run from 0 to 2"),
        ("2,89c6c74", "2,3644", "cells 3644 and 364 overlap|cells 364 and 3644 overlap"),
    ],
)
def test_lists_that_are_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_cells(Path("cells.csv"), PUBLIC.replace(old, new))


def test_coarse_and_fine_partitions_are_nested(towns: tuple[Floats, Floats]) -> None:
    parts = tuple(split_adaptively(*towns, most=most, least=10) for most in (500, 100, 30))
    atlas = Atlas(parts)
    columns = atlas.columns_at(*towns)
    inside = columns[:, 2] >= 0
    for level in range(3):  # Each photo's coarse cell is its fine cell's ancestor.
        ancestors = atlas.ancestors[level][columns[inside, 2]]
        np.testing.assert_array_equal(ancestors, columns[inside, level])
    with pytest.raises(ValueError, match="lies in no cell of the coarser partition"):
        Atlas(parts[::-1])


def test_an_atlas_travels_as_whole_numbers(towns: tuple[Floats, Floats]) -> None:
    parts = tuple(split_adaptively(*towns, most=most, least=10) for most in (500, 50))
    again = atlas_of(Atlas(parts).to_tensor())
    assert again.sizes == [len(part) for part in parts]
    assert again.classes == Atlas(parts).classes
    for one, other in zip(again.partitions, parts, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.counts, other.counts)
        # A leaf cell is a centimetre wide.
        assert distance_km(one.lat, one.lng, other.lat, other.lng).max() < 1e-5
    for bad in (torch.zeros(3, 4), torch.zeros(0, 4).long(), torch.zeros(2, 4).long()):
        with pytest.raises(ValueError, match="the tensor of cells"):
            atlas_of(bad)


def test_nearest_neighbours(rng: np.random.Generator) -> None:
    lat, lng = rng.uniform(-90, 90, 60), rng.uniform(-180, 180, 60)
    table = distance_km(lat[:, None], lng[:, None], lat, lng)
    found = nearest_km(lat[:20], lng[:20], lat[20:], lng[20:])
    np.testing.assert_allclose(found, table[:20, 20:].min(axis=1), rtol=1e-9)


@pytest.mark.slow
def test_the_real_positions_give_a_partition(real_data: Path) -> None:
    lat, lng = read_positions(real_data / "geo" / "coordinates_100k.csv")
    assert len(lat) == 100_000
    found = split_adaptively(lat, lng, most=1000, least=50)
    assert found.counts.max() <= 1000
    assert found.counts.min() >= 50
    assert 0.95 < found.counts.sum() / len(lat) <= 1
    # Where tourists are, cells are small: Paris, London, New York against the Sahara.
    busy = found.columns_at(np.array([48.858, 51.501, 40.758]), np.array([2.294, -0.125, -73.985]))
    wild = found.columns_at(np.array([24.0]), np.array([10.0]))
    assert s2.levels(found.ids[busy]).min() >= 8
    assert wild[0] < 0 or s2.levels(found.ids[wild])[0] <= 4


def test_an_empty_partition() -> None:
    none = np.zeros(0)
    with pytest.raises(ValueError, match="at least one cell"):
        Partition(none.astype(np.uint64), none.astype(np.int64), none, none)
