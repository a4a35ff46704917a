"""Maps: cells as polygons on a plain map of the world, longitude to the right, latitude up."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from tasks.geolocation import s2
from tasks.geolocation.partition import Partition
from tasks.geolocation.rings import rings
from tasks.geolocation.sphere import EARTH_KM, Floats

_TICKS = (range(-180, 181, 60), range(-90, 91, 30))
_DOTS = 100_000
_DPI = 170
_TOP = 4
# Distances of answers, in km, and their colours, near to far.
_STEPS = ((25, "#1a9850"), (200, "#91cf60"), (750, "#d9a404"), (2500, "#fc8d59"))
_FARTHEST = "#d73027"


def _world_map() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(11, 6), dpi=_DPI)
    axes = figure.add_subplot()
    axes.set(xlim=(-180, 180), ylim=(-90, 90), aspect="equal")
    axes.set_xticks(_TICKS[0], [f"{abs(x)}°{'W' if x < 0 else 'E' * (x > 0)}" for x in _TICKS[0]])
    axes.set_yticks(_TICKS[1], [f"{abs(y)}°{'S' if y < 0 else 'N' * (y > 0)}" for y in _TICKS[1]])
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)
    # Everything drawn becomes one image: thousands of polygons would make a page of megabytes.
    axes.set_rasterization_zorder(_TOP)
    return figure, axes


def partition_plot(partition: Partition, lat: Floats, lng: Floats) -> Figure:
    """The cells, coloured by the density of images, under the images themselves.

    The images' positions (N,) are in degrees; there may be none, and if there are many, some are
    drawn.
    """
    figure, axes = _world_map()
    polygons, owners = rings(partition.ids)
    area = 4 * np.pi * EARTH_KM**2 / (s2.NUM_FACES * 4.0 ** s2.levels(partition.ids))
    density = partition.counts / area * 1000
    # Small cells last, so that their neighbours' edges do not cover them.
    order = np.argsort(s2.levels(partition.ids)[owners], kind="stable")
    cells = PolyCollection(
        [polygons[k] for k in order],
        array=density[owners][order],
        norm=LogNorm(max(density.min(), 1e-6), max(density.max(), 2e-6)),
        cmap="YlGnBu",
        edgecolors="#0006",
        linewidths=0.3,
    )
    axes.add_collection(cells)
    step = max(1, -(-len(lat) // _DOTS))
    axes.plot(lng[::step], lat[::step], ",", color="#b2182b", alpha=0.35, zorder=3)
    figure.colorbar(cells, ax=axes, shrink=0.7, label="images per 1000 km²")
    return figure


def answers_plot(
    partition: Partition, truth: tuple[Floats, Floats], answers: tuple[Floats, Floats], km: Floats
) -> Figure:
    """A line from each image's true position to its answer, coloured by its length (M,) in km.

    Positions are latitudes and longitudes (M,) in degrees; the model's cells are drawn behind.
    """
    figure, axes = _world_map()
    polygons, _ = rings(partition.ids)
    cells = PolyCollection(
        polygons, facecolors="#2a78d614", edgecolors="#2a78d655", linewidths=0.3
    )
    axes.add_collection(cells)
    bounds = np.array([0, *(step for step, _ in _STEPS), np.inf])
    for k, colour in reversed([*enumerate([*(c for _, c in _STEPS), _FARTHEST])]):
        rows = (km > bounds[k]) & (km <= bounds[k + 1]) if k else km <= bounds[1]
        end = "farther" if k == len(_STEPS) else f"within {_STEPS[k][0]} km"
        lines = list(_short_ways(*(v[rows] for v in (*truth, *answers))))
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.6, alpha=0.5))
        axes.plot(
            truth[1][rows], truth[0][rows], ".", color=colour, markersize=4, zorder=3 - k / 10,
            label=f"{end}: {rows.sum()}",
        )  # fmt: skip
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="lower left", fontsize=8, framealpha=0.85)
    return figure


def _short_ways(lat: Floats, lng: Floats, to_lat: Floats, to_lng: Floats) -> Floats:
    """Straight lines (K, 2, 2) on the map, across the antimeridian where that is shorter."""
    ahead = lng + (to_lng - lng + 180) % 360 - 180
    lines = np.stack((np.stack((lng, lat), 1), np.stack((ahead, to_lat), 1)), axis=1)
    over = np.abs(ahead) > 180
    shift = np.stack((np.copysign(360, ahead[over]), np.zeros(over.sum())), 1)
    return np.concatenate((lines, lines[over] - shift[:, None]))


def distance_plot(km: Floats, chance: dict[str, float]) -> Figure:
    """Share of the answers within each distance (M,), and chance by ``km`` and radius."""
    figure = Figure(figsize=(5, 3))
    axes = figure.add_subplot()
    axes.step(np.sort(np.maximum(km, 0.1)), np.arange(1, len(km) + 1) / len(km), label="model")
    radii = [float(name.removeprefix("km")) for name in chance]
    axes.plot(radii, list(chance.values()), "o--", color="#888", markersize=3, label="by chance")
    axes.set(xscale="log", xlabel="km", ylabel="share within", ylim=(0, 1.02), xlim=(0.5, 20040))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def confidence_plot(km: Floats, confidence: Floats, radii: tuple[int, ...]) -> Figure:
    """Share within some radii in km among the most confident answers, over their share of all."""
    figure = Figure(figsize=(5, 3))
    axes = figure.add_subplot()
    order = np.argsort(-confidence, kind="stable")
    count = np.arange(1, len(km) + 1)
    start = min(len(km) - 1, 19)  # A share of fewer says nothing.
    for radius in radii:
        share = (km[order] <= radius).cumsum() / count
        axes.plot((count / len(km))[start:], share[start:], label=f"within {radius} km")
    axes.set(xlabel="share answered, surest first", ylabel="share of these", ylim=(0, 1.02))
    axes.set_xlim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
