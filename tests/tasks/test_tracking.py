"""Objects that are followed through videos whose truth is known, and lines that they cross."""

from typing import Any

import numpy as np
import pytest

from datasets.builtin import scenes
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.detection.answer import BoxAnswers, Objects
from tasks.detection.draw import draw_detections
from tasks.detection.spec import DetectOptions, KeepSpec
from tasks.detection.track_spec import TrackSpec
from tasks.detection.tracking import BoxTracker, tracked
from tests.drawn_films import RATE, SIDES, moving

CLASSES = ClassMap.from_names(list(scenes.SHAPES))


def follow(*lines: str, rate: float = RATE, keep: KeepSpec | None = None) -> BoxTracker:
    answers = BoxAnswers(CLASSES, 0.5, keep)
    return tracked(answers, DetectOptions(tracking=TrackSpec(track=True, lines=lines)))(rate, 1)


def outputs(*boxes: tuple[float, ...], score: float = 0.9, label: int = 1) -> Any:
    """Squares of 20 pixels around (x, y)."""
    corners = np.array([(x - 10, y - 10, x + 10, y + 10) for x, y in boxes], np.float32)
    return {
        "boxes": corners.reshape(-1, 4),
        "scores": np.full(len(boxes), score, np.float32),
        "labels": np.full(len(boxes), label, np.int64),
    }


def tracks(answer: Objects) -> list[int]:
    assert answer.followed is not None
    return list(answer.followed.tracks.tolist())


@pytest.mark.slow
def test_shapes_keep_their_numbers() -> None:
    """Of the true boxes of a film nine in ten have the number that their shape has most often."""
    find, given = follow(), dict[int, list[int]]()
    for number, (_, truth) in enumerate(moving(3, 150, 10)):
        found = {"boxes": truth.boxes, "scores": truth.shown, "labels": truth.labels}
        answer = find(found, number, SIDES)
        for box, track in zip(answer.boxes, tracks(answer), strict=True):
            shape = truth.ids[np.abs(truth.boxes - box).sum(1).argmin()]
            if track:
                given.setdefault(int(shape), []).append(track)
    usual = [max(given[shape], key=given[shape].count) for shape in sorted(given)]
    assert len(set(usual)) >= len(usual) - 1  # One may enter where another has just left.
    kept = sum(given[shape].count(one) for shape, one in zip(sorted(given), usual, strict=True))
    assert kept > 0.97 * sum(map(len, given.values()))


def test_a_new_object_has_a_number_with_its_second_box() -> None:
    find = follow()
    assert [tracks(find(outputs((50 + k, 50)), k, SIDES)) for k in range(3)] == [[0], [1], [1]]


def test_weak_boxes_continue_tracks_and_begin_none() -> None:
    find = follow()
    for number in range(3):
        answer = find(outputs((50, 50)), number, SIDES)
    answer = find(outputs((50, 50), (200, 200), score=0.3), 3, SIDES)
    assert tracks(answer) == [1]
    assert answer.scores.tolist() == pytest.approx([0.3])
    assert tracks(find(outputs((50, 50), score=0.05), 4, SIDES)) == []


def test_objects_that_are_hidden_for_a_while() -> None:
    """A second at most, or four frames if these are more; in frames that were passed over too."""
    for rate, back, number in ((25.0, 20, 1), (25.0, 40, 2), (1.0, 4, 1), (1.0, 9, 2)):
        find = follow(rate=rate)
        for frame in (0, 1, 2):
            find(outputs((50, 50)), frame, SIDES)
        for frame in (back, back + 1):  # A live stream passes over those between.
            answer = find(outputs((50, 50)), frame, SIDES)
        assert tracks(answer) == [number], (rate, back)


def test_empty_frames_and_classes_that_are_left_out() -> None:
    find = follow(keep=KeepSpec(classes=("ring",)))
    for number, found in enumerate([outputs(), outputs((50, 50)), outputs((50, 50), label=2)] * 2):
        answer = find(found, number, SIDES)
        assert len(answer.scores) == (number % 3 == 2)


def test_an_object_with_boxes_of_two_classes_has_one_track() -> None:
    find = follow()
    for number in range(3):
        one, other = outputs((50, 50)), outputs((51, 50), score=0.7, label=2)
        answer = find({key: np.concatenate((one[key], other[key])) for key in one}, number, SIDES)
    assert tracks(answer) == [1, 0]


@pytest.mark.parametrize(
    ("line", "ways"),
    [
        ("100,0,100,200", {"left": 1, "right": 0}),  # Downwards: right is to the left hand.
        ("100,200,100,0", {"left": 0, "right": 1}),
        ("100,200,100,100", {"left": 0, "right": 0}),  # It passes beside its end.
        ("door=.28,0,.28,1", {"left": 1, "right": 0}),
    ],
)
def test_a_line_is_crossed_once(line: str, ways: dict[str, int]) -> None:
    """By an object that moves to the right, trembles on the line, and is hidden behind it."""
    find, crossed = follow(line), []
    places = [60, 70, 80, 90, 99, 101, 99, 101, 99, 101, None, None, None, 120, 130, 140]
    for number, x in enumerate(places):
        answer = find(outputs() if x is None else outputs((x, 50)), number, SIDES)
        assert answer.followed is not None
        crossed += answer.followed.crossings
    last = answer.followed.lines[0]
    assert {"left": last.left, "right": last.right} == ways
    assert [one.to for one in crossed] == [side for side, count in ways.items() if count]
    told = find._answers.to_json(answer)
    assert told["objects"][0]["track"] == 1
    assert told["crossings"] == []
    drawn = find._answers.draw(np.zeros((SIDES[1], SIDES[0], 3), np.uint8), answer)
    assert drawn.any()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("1,2,3",), "--lines 1,2,3: write X1,Y1,X2,Y2"),
        (("a=1,2,1,2",), "two different points"),
        (("1,2,nan,4",), "two different points"),
        (("-1,2,3,4",), "two different points"),
        (("1,2,1e9,4",), "0 to 65535"),
        (("a=0,0,1,1", "a=1,0,0,1"), "--lines a: two lines have this name"),
    ],
)
def test_what_is_no_line(lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrackSpec(track=True, lines=lines)
    with pytest.raises(InputError, match="has no effect without --track"):
        TrackSpec(lines=("0,0,1,1",))


def test_a_line_outside_of_the_frames_is_warned_of() -> None:
    find = follow("far=5000,0,5000,9", "1,0,5000,9")
    with pytest.warns(UserWarning, match=r"--lines far=5000,0,5000,9: lies outside"):
        find(outputs(), 0, SIDES)
    find(outputs(), 1, SIDES)  # A second warning would be an error.


def test_a_name_that_is_not_utf_8_can_be_drawn() -> None:
    """OpenCV ends the process at one."""
    (line,) = TrackSpec(track=True, lines=("a\udcff=0,0,1,1",)).parsed
    assert line.name == r"a\xff"
    image = np.zeros((40, 90, 3), np.uint8)
    assert draw_detections(image, np.array([[5.0, 5, 30, 30]]), [1], [0.9], ["b\udcff"]).any()


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trackers", None)
    with pytest.raises(InputError, match=r"pip install 'mobilenet-suite\[track\]' && pip install"):
        follow()
