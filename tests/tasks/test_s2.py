"""S2 cells against a library that takes one point at a time, and against their own definition."""

import math

import numpy as np
import pytest
import s2sphere
from hypothesis import given
from hypothesis import strategies as st

from tasks.geolocation import s2
from tasks.geolocation.s2 import Ids
from tasks.geolocation.sphere import Floats, degrees, distance_km, unit_vectors


def reference(lat: Floats, lng: Floats) -> Ids:
    pairs = zip(lat.tolist(), lng.tolist(), strict=True)
    cells = (s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(a, b)) for a, b in pairs)
    return np.array([cell.id() for cell in cells], np.uint64)


def edges() -> tuple[Floats, Floats]:
    """Poles, the antimeridian from both sides, and the edges and corners of the cube's faces."""
    lng = np.concatenate((np.arange(-180, 181, 15.0), (-179.999999999, 179.999999999, 1e-300)))
    corner = math.degrees(math.atan(1 / math.sqrt(2)))
    lat = np.array((-90, 90, -89.9999999999, 89.9999999999, 0, -0.0, 45, -45, corner, -corner))
    grid_lat, grid_lng = (values.ravel() for values in np.meshgrid(lat, lng))
    # Where the upper face meets those around it: |z| is the larger of |x| and |y|.
    across = np.linspace(-180, 180, 721)
    x, y = np.cos(np.radians(across)), np.sin(np.radians(across))
    border = np.degrees(np.arctan(np.maximum(np.abs(x), np.abs(y))))
    lats = np.concatenate((grid_lat, border, -border))
    return lats, np.concatenate((grid_lng, across, across))


@pytest.fixture(scope="module")
def points() -> tuple[Floats, Floats]:
    """100,000 points spread evenly over the globe, and all edge cases."""
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, 100_000)))
    edge_lat, edge_lng = edges()
    lng = np.concatenate((rng.uniform(-180, 180, 100_000), edge_lng))
    return np.concatenate((lat, edge_lat)), lng


def some_cells(points: tuple[Floats, Floats]) -> Ids:
    """Cells of every level."""
    leaves = s2.cell_ids(*points)[-3000:]
    levels = np.arange(len(leaves)) % (s2.MAX_LEVEL + 1)
    ids = [s2.parents(leaves[levels == k], k) for k in range(s2.MAX_LEVEL + 1)]
    return np.unique(np.concatenate(ids))


@pytest.mark.slow
def test_leaves_are_those_of_the_library(points: tuple[Floats, Floats]) -> None:
    np.testing.assert_array_equal(s2.cell_ids(*points), reference(*points))


@pytest.mark.slow
def test_family_of_a_cell(points: tuple[Floats, Floats]) -> None:
    ids = some_cells(points)
    cells = [s2sphere.CellId(int(k)) for k in ids.tolist()]
    assert s2.is_valid(ids).all()
    np.testing.assert_array_equal(s2.levels(ids), [cell.level() for cell in cells])
    assert s2.tokens(ids) == [cell.to_token() for cell in cells]
    np.testing.assert_array_equal(s2.from_tokens(s2.tokens(ids)), ids)
    first, last = s2.range_of(ids)
    np.testing.assert_array_equal(first, [cell.range_min().id() for cell in cells])
    np.testing.assert_array_equal(last, [cell.range_max().id() for cell in cells])
    inner = ids[s2.levels(ids) < s2.MAX_LEVEL]
    four = [[k.id() for k in s2sphere.CellId(int(c)).children()] for c in inner.tolist()]
    np.testing.assert_array_equal(s2.children(inner), np.array(four, np.uint64))
    deep = ids[s2.levels(ids) >= 5]
    above = [s2sphere.CellId(int(k)).parent(5).id() for k in deep.tolist()]
    np.testing.assert_array_equal(s2.parents(deep, 5), np.array(above, np.uint64))


@pytest.mark.slow
def test_centres_and_vertices(points: tuple[Floats, Floats]) -> None:
    ids = some_cells(points)
    centres, corners = unit_vectors(*s2.centres(ids)), unit_vectors(*degrees(s2.outlines(ids, 1)))
    for k, number in enumerate(ids.tolist()):
        cell = s2sphere.Cell(s2sphere.CellId(number))
        middle = s2sphere.CellId(number).to_point()
        np.testing.assert_allclose(centres[k], [middle[axis] for axis in range(3)], atol=1e-14)
        for corner in range(4):
            point = cell.get_vertex(corner)
            wanted = [point[axis] for axis in range(3)]
            np.testing.assert_allclose(corners[k, corner], wanted, atol=1e-14)


def test_outlines_pass_through_the_vertices(points: tuple[Floats, Floats]) -> None:
    ids = some_cells(points)[::50]
    lat, lng = degrees(s2.outlines(ids, 6))
    corner_lat, corner_lng = degrees(s2.outlines(ids, 1))
    apart = distance_km(lat[:, ::6], lng[:, ::6], corner_lat, corner_lng)
    assert apart.max() < 1e-6


@pytest.mark.slow
# Without subnormal numbers: runtimes of exports, loaded before, round them to zero.
@given(
    st.floats(-90, 90, allow_subnormal=False),
    st.floats(-180, 180, allow_subnormal=False),
    st.integers(0, 30),
)
def test_a_point_lies_in_its_cells(lat: float, lng: float, level: int) -> None:
    leaf = s2.cell_ids(np.array([lat]), np.array([lng]))
    cell = s2.parents(leaf, level)
    first, last = s2.range_of(cell)
    assert first[0] <= leaf[0] <= last[0]
    assert s2.levels(cell)[0] == level
    # The largest cell's centre is nearer to all of it than a diagonal.
    middle = s2.centres(leaf)
    assert distance_km(*middle, np.array([lat]), np.array([lng]))[0] < 1e-5


def test_the_faces_are_halved_evenly() -> None:
    cells = s2.faces()
    assert cells.tolist() == [s2sphere.CellId.from_face_pos_level(f, 0, 0).id() for f in range(6)]
    for _ in range(3):
        cells = s2.children(cells).ravel()
    assert len(np.unique(cells)) == 6 * 4**3
    np.testing.assert_array_equal(s2.parents(cells, 0), np.repeat(s2.faces(), 64))


@pytest.mark.parametrize("lat", [90.0001, -91, math.nan, math.inf])
def test_points_off_the_globe(lat: float) -> None:
    with pytest.raises(ValueError, match="is not on Earth"):
        s2.cell_ids(np.array([0, lat]), np.array([0.0, 5.0]))


@pytest.mark.parametrize("token", ["", "x", "0", "2", "ffffffffffffffff", "89c25" * 4, "-1"])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(ValueError, match="is not the token of an S2 cell"):
        s2.from_tokens(["89c25", token])


def test_numbers_that_are_no_ids() -> None:
    numbers = np.array((0, 1, 2, 1 << 63, 7 << 61 | 1, 1 << 60, 1 << 61), np.uint64)
    wanted = [s2sphere.CellId(int(k)).is_valid() for k in numbers.tolist()]
    assert s2.is_valid(numbers).tolist() == wanted
