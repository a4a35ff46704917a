"""How well objects keep their numbers: IDF1, identity switches and line crossings on drawn videos.

ByteTrack, as predict.py --track runs it, beside a plain greedy matcher; boxes from the truth, from
the truth with noise, and from a detector trained on built-in scenes. motmetrics computes the
figures:

    pip install motmetrics
    python -m tests.benchmarks.bench_track --model runs/demo/TIME
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np
import supervision
from numpy.typing import NDArray

from datasets.builtin.scenes import SHAPES
from datasets.types import ClassMap
from tasks.detection.answer import BoxAnswers, Objects
from tasks.detection.spec import SHOWN_SCORE, DetectOptions, PostSpec
from tasks.detection.track_spec import Line, TrackSpec
from tasks.detection.tracking import tracked
from tasks.open_model import open_any
from tasks.runtime.session import Answer as Outputs
from tests.drawn_films import RATE, SIDES, Truth, moving

_LINES = ("middle=.5,0,.5,1", "across=0,.5,1,.5")
_OPTIONS = DetectOptions(
    post=PostSpec(score_threshold=SHOWN_SCORE), tracking=TrackSpec(track=True, lines=_LINES)
)
_PARSED = tuple(line.within(*SIDES) for line in _OPTIONS.tracking.parsed)
Frames = list[Outputs]


class Greedy:
    """Each box takes the number of the most overlapping box of the last second, best first."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, NDArray[np.float64]]] = {}
        self._count = 0

    def __call__(self, boxes: NDArray[np.float64], number: int) -> NDArray[np.int64]:
        self._last = {k: one for k, one in self._last.items() if number - one[0] <= RATE}
        keys = list(self._last)
        overlap = _iou(boxes, np.array([self._last[key][1] for key in keys]).reshape(-1, 4))
        ids = np.zeros(len(boxes), np.int64)
        while overlap.size and overlap.max() > 0.1:
            row, column = divmod(int(overlap.argmax()), overlap.shape[1])
            ids[row] = keys[column]
            overlap[row], overlap[:, column] = 0, 0
        for row, box in enumerate(boxes):
            if not ids[row]:
                self._count += 1
                ids[row] = self._count
            self._last[int(ids[row])] = (number, box)
        return ids


def main() -> None:
    """Print a table for each source of boxes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="detector trained on built-in scenes")
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--shapes", type=int, default=20)
    parser.add_argument("--every", type=int, default=1, help="use every n-th frame")
    args = parser.parse_args()
    find = None if args.model is None else _detector(args.model)
    sources: dict[str, list[Frames]] = {"truth": [], "noise": []}
    if find is not None:
        sources["detector"] = []
    truths: list[list[Truth]] = []
    for seed in range(args.videos):
        film = list(moving(seed, args.frames, args.shapes))[:: args.every]
        truths.append([truth for _, truth in film])
        rng = np.random.default_rng(seed)
        sources["truth"].append([_outputs(truth) for truth in truths[-1]])
        sources["noise"].append([_noisy(rng, truth) for truth in truths[-1]])
        if find is not None:
            sources["detector"].append(find([image for image, _ in film]))
    print(
        f"{'boxes':9} {'matcher':10} {'IDF1':>6} {'switches':>8} {'tracks':>7} {'crossings':>10}"
    )
    true = sum((_crossings(one) for one in truths), Counter())
    shapes = sum(len({k for truth in film for k in truth.ids.tolist()}) for film in truths)
    print(f"{'':9} {'truth':10} {'':6} {'':8} {shapes:7} {true.total():10}")
    for name, films in sources.items():
        for matcher in (greedy, byte_track):
            _row(name, matcher, films, truths, true, args.every)


def greedy(frames: Frames, every: int) -> list[tuple[Objects, NDArray[np.int64]]]:
    """Boxes and numbers by the greedy matcher."""
    answers, match = _answers(), Greedy()
    found = [answers.read(outputs) for outputs in frames]
    return [(one, match(one.boxes, every * number)) for number, one in enumerate(found)]


def byte_track(frames: Frames, every: int) -> list[tuple[Objects, NDArray[np.int64]]]:
    """The same as predict.py does it."""
    follow = tracked(_answers(), _OPTIONS)(RATE / every, 1)
    found = [follow(outputs, number, SIDES) for number, outputs in enumerate(frames)]
    return [(one, one.followed.tracks) for one in found if one.followed is not None]


def _row(
    name: str,
    matcher: Callable[[Frames, int], list[tuple[Objects, NDArray[np.int64]]]],
    films: list[Frames],
    truths: list[list[Truth]],
    true: Counter[Any],
    every: int,
) -> None:
    judged, crossings, zones, tracks, seconds = [], Counter[Any](), Counter[Any](), 0, 0.0
    for frames, film in zip(films, truths, strict=True):
        begun = time.perf_counter()
        found = matcher(frames, every)
        seconds += time.perf_counter() - begun
        judged.append(_judge(film, found))
        tracks += len({k for _, ids in found for k in ids.tolist() if k})
        zones += _zones(found)
        for one, _ in found:
            for crossing in one.followed.crossings if one.followed is not None else ():
                crossings[crossing.line, crossing.to] += 1
    summary = motmetrics.metrics.create().compute_many(
        judged, metrics=["idf1", "num_switches"], generate_overall=True
    )
    idf1, switches = summary.loc["OVERALL"]
    lines = ", ".join(
        f"{title} {count.total()} (wrong {(count - true).total() + (true - count).total()})"
        for title, count in (("own", crossings), ("LineZone", zones))
        if count
    )
    per_frame = 1000 * seconds / sum(map(len, films))
    print(
        f"{name:9} {matcher.__name__:10} {idf1:6.3f} {int(switches):8} {tracks:7} {lines}; "
        f"{per_frame:.2f} ms a frame"
    )


def _judge(film: Sequence[Truth], found: Iterable[tuple[Objects, NDArray[np.int64]]]) -> Any:
    judge = motmetrics.MOTAccumulator(auto_id=True)
    for truth, (objects, ids) in zip(film, found, strict=True):
        boxes = objects.boxes[ids > 0]
        far = 1 - _iou(truth.boxes, boxes)
        far[far > 0.5] = np.nan
        judge.update(truth.ids.tolist(), ids[ids > 0].tolist(), far)
    return judge


def _crossings(film: Sequence[Truth]) -> Counter[Any]:
    """Crossings of the centres of the boxes that can be seen, each shape once a side."""
    count, before = Counter[Any](), dict[int, tuple[float, float]]()
    for truth in film:
        for number, box in zip(truth.ids.tolist(), truth.boxes, strict=True):
            centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
            for line in _PARSED:
                if number in before and (to := line.crossed(before[number], centre)):
                    count[line.name, to] += 1
            before[number] = centre
    return count


def _zones(found: Iterable[tuple[Objects, NDArray[np.int64]]]) -> Counter[Any]:
    """The same by supervision's LineZone, with the centre as its anchor."""
    count = Counter[Any]()
    zones = {line: _zone(line) for line in _PARSED}
    for objects, ids in found:
        given = supervision.Detections(xyxy=objects.boxes, tracker_id=np.where(ids, ids, -1))
        for line, zone in zones.items():
            into, out = zone.trigger(given)
            count[line.name, "left"] += int(into.sum())
            count[line.name, "right"] += int(out.sum())
    return count


def _zone(line: Line) -> supervision.LineZone:
    x1, y1, x2, y2 = line.ends
    return supervision.LineZone(
        supervision.Point(x1, y1),
        supervision.Point(x2, y2),
        triggering_anchors=[supervision.Position.CENTER],
    )


def _outputs(truth: Truth) -> Outputs:
    scores = 0.9 * np.clip(truth.shown + 0.1, 0, 1)
    return {"boxes": truth.boxes.astype(np.float32), "scores": scores, "labels": truth.labels}


def _noisy(rng: np.random.Generator, truth: Truth) -> Outputs:
    """A tenth of the boxes missing, edges off by 5 % of the sides, a false box in 10 frames."""
    there = rng.random(len(truth.ids)) > 0.1
    boxes = truth.boxes[there]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    boxes = boxes + rng.normal(0, 0.05, boxes.shape) * sides
    scores = 0.9 * np.clip(truth.shown[there] + rng.normal(0, 0.1, len(boxes)), 0.05, 1)
    labels = truth.labels[there]
    if rng.random() < 0.1:
        corner = rng.uniform((0, 0), (SIDES[0] - 50, SIDES[1] - 50))
        boxes = np.concatenate((boxes, [[*corner, *(corner + 50)]]))
        scores, labels = np.append(scores, 0.6), np.append(labels, 1)
    return {"boxes": boxes.astype(np.float32), "scores": scores, "labels": labels}


def _detector(path: Path) -> Callable[[list[Any]], Frames]:
    model = open_any(path, [_OPTIONS])
    outputs = model.predictor("cpu").outputs

    def find(images: list[Any]) -> Frames:
        return [one for k in range(0, len(images), 8) for one in outputs(images[k : k + 8])]

    return find


def _answers() -> BoxAnswers:
    return BoxAnswers(ClassMap.from_names(list(SHAPES)), SHOWN_SCORE)


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) intersection over union of (N, 4) and (M, 4)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), -1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], -1) for boxes in (one, other)]
    return np.asarray(both / (areas[0][:, None] + areas[1][None] - both), np.float64)


if __name__ == "__main__":
    main()
