"""Answers from a detector's boxes: objects, best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backbone.typed_fields import refuse_other_types
from datasets.errors import InputError
from datasets.images import Image
from datasets.text import number_in
from datasets.types import ClassMap
from tasks.application import Column, ImageAnswer, Reply
from tasks.detection.draw import draw_detections, draw_tracks
from tasks.detection.followed import Followed
from tasks.detection.spec import DetectOptions, KeepSpec, PostSpec
from tasks.flag_values import flag_of
from tasks.reporting.pictures import for_screen
from tasks.runtime.session import Answer as Outputs

_SHOWN = 8


SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Objects as COCO's annotations without ids, best first.",
    "additionalProperties": False,
    "required": ["objects"],
    "properties": {
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["category_id", "category", "bbox", "area", "iscrowd", "score"],
                "properties": {
                    "category_id": {"type": "integer", "description": "Number of the class."},
                    "category": {"type": "string", "description": "Name of the class."},
                    "bbox": {
                        "type": "array",
                        "items": {"type": "number"},
                        "minItems": 4,
                        "maxItems": 4,
                        "description": "Left, top, width and height in pixels of the image.",
                    },
                    "area": {"type": "number"},
                    "iscrowd": {"const": 0},
                    "score": {"type": "number", "minimum": 0, "maximum": 1},
                    "track": {
                        "type": ["integer", "null"],
                        "description": "With tracking: number of the object in its video, from 1;"
                        " null for an object that was not in the frame before.",
                    },
                },
            },
        },
        "crossings": {
            "type": "array",
            "description": "With tracking: lines to count at that objects have crossed since the"
            " frame before.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["line", "track", "category", "to"],
                "properties": {
                    "line": {"type": "string"},
                    "track": {"type": "integer"},
                    "category": {"type": "string"},
                    "to": {"enum": ["left", "right"]},
                },
            },
        },
    },
}


class Objects(NamedTuple):
    """The objects found in an image, best first.

    Boxes (D, 4) are x1 y1 x2 y2 in pixels of the image, scores (D,) in 0..1, labels (D,) from 1;
    ``followed`` are their tracks, in a video whose objects are followed.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    followed: Followed | None = None


def refuse_other_post(options: DetectOptions, own: Mapping[str, Any], path: Path) -> None:
    """Check that the requested options are those that a model was exported with.

    A score threshold above its own is applied to its results; everything else is fixed.

    Args:
        options: Requested options.
        own: Options of the export.
        path: Path of the export, for messages.

    Raises:
        InputError: If they differ.
    """
    usual = vars(PostSpec())
    try:
        if lacking := usual.keys() - own.keys():
            raise InputError(f"{', '.join(sorted(lacking))} is missing")
        refuse_other_types(own, PostSpec)
    except InputError as error:
        raise InputError(f"{path}: its thresholds cannot be read ({error})") from error
    for name, value in vars(options.post).items():
        if name != "score_threshold" and value not in (own[name], usual[name]):
            flag = flag_of(name)
            raise InputError(
                f"--{flag} {value}: {path} was made with {own[name]}; export it again with "
                f"--{flag} {value}"
            )


class BoxAnswers:
    """Presents a detector's outputs.

    Objects with a score over ``above``, or over the threshold of their class in ``keep``, count;
    weaker ones do not change which others NMS kept.

    Attributes:
        floors: (C + 1,) score that an object of each label must exceed.

    Raises:
        InputError: If ``keep`` names a class that there is not.
    """

    def __init__(self, classes: ClassMap, above: float, keep: KeepSpec | None = None) -> None:
        self.classes, self.above = classes, above
        self.floors = _floors(classes, above, keep or KeepSpec())

    def read(self, outputs: Outputs) -> Objects:
        """The objects whose score is high enough for their class."""
        return self.stronger(outputs, self.floors)

    def stronger(self, outputs: Outputs, floors: NDArray[np.float64]) -> Objects:
        """The objects whose score exceeds that of their label in (C + 1,) floors."""
        strong = outputs["scores"] > floors[outputs["labels"]]
        return Objects(
            outputs["boxes"][strong].astype(np.float64),
            outputs["scores"][strong].astype(np.float64),
            outputs["labels"][strong],
        )

    def draw(self, image: Image, answer: Objects) -> Image:
        """The image with a box, a name and a score per object."""
        boxes, scores, labels, followed = answer
        names, found = self.classes.names, (labels.tolist(), scores.tolist())
        if followed is not None:
            return draw_tracks(image, boxes, *found, names, followed)
        return draw_detections(image, boxes, *found, names)

    def to_json(self, answer: Objects) -> dict[str, Any]:
        """The objects as COCO's annotations, with class names but without ids."""
        objects = []
        rows = zip(*(part.tolist() for part in answer[:3]), strict=True)
        for (x1, y1, x2, y2), score, label in rows:
            box = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            name = self.classes.names[label - 1]
            told = {"category_id": self.classes.ids[label - 1], "category": name, "bbox": box}
            told |= {"area": round(box[2] * box[3], 2), "iscrowd": 0, "score": round(score, 4)}
            objects.append(told)
        followed = answer.followed
        if followed is None:
            return {"objects": objects}
        for one, track in zip(objects, followed.tracks.tolist(), strict=True):
            one["track"] = track or None
        crossings = [
            {"line": line, **{key: objects[row][key] for key in ("track", "category")}, "to": to}
            for line, row, to in followed.crossings
        ]
        return {"objects": objects, "crossings": crossings}

    def line(self, answer: Objects) -> str:
        """``cat 0.93, dog 0.51 and 3 more``."""
        names = self.classes.names
        found = [
            f"{names[label - 1]} {round(score, 4):.2f}"
            for label, score in zip(answer.labels.tolist(), answer.scores.tolist(), strict=True)
        ] or ["nothing"]
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return ", ".join(found[:_SHOWN]) + more

    def reply(self, image: Image, answer: Objects) -> Reply:
        """Boxes, and a table of them."""
        names, (boxes, _, labels) = self.classes.names, answer[:3]
        shown = for_screen(image)
        scale = np.tile(np.divide(shown.shape[1::-1], image.shape[1::-1]), 2)
        parts = zip(*(part.tolist() for part in answer[:3]), strict=True)
        rows: list[tuple[str | float, ...]] = [
            (names[label - 1], score, x1, y1, x2 - x1, y2 - y1)
            for (x1, y1, x2, y2), score, label in parts
        ]
        counts = Counter(names[label - 1] for label in labels.tolist())
        told = [f"{count} x {name}" if count > 1 else name for name, count in counts.items()]
        pixels = (Column(title, "number") for title in ("left", "top", "width", "height"))
        return Reply(
            self.draw(shown, answer._replace(boxes=boxes * scale)),
            ", ".join(told) or "Nothing",
            f"with a score above {self.above:.0%}",
            (Column("object"), Column("score", "share"), *pixels),
            rows,
        )


def _floors(classes: ClassMap, above: float, keep: KeepSpec) -> NDArray[np.float64]:
    """(C + 1,) the score that an object of each label must exceed; no score exceeds infinity."""
    wanted = [_label(classes, one, "--classes") for one in keep.classes]
    floors = np.full(len(classes) + 1, np.inf if wanted else above)
    floors[wanted] = above
    for name, least in keep.thresholds.items():
        label = _label(classes, name, "--class-thresholds")
        if wanted and label not in wanted:
            raise InputError(f"--class-thresholds {name}: --classes leaves this class out")
        floors[label] = least
    return floors


def _label(classes: ClassMap, name: str, flag: str) -> int:
    """Label of a class by its name or else its id."""
    if name in classes.names:
        return classes.names.index(name) + 1
    if (number := number_in(name)) in classes.ids:
        return classes.ids.index(number) + 1
    near = get_close_matches(name, classes.names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(classes.names[:12])}"
    raise InputError(f"{flag} {name}: the model has no such class; {hint}")


def objects_of(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects of an answer in the form of :meth:`BoxAnswers.to_json`."""
    return list(told["objects"])


def rows_of(told: Mapping[str, Any], _names: Sequence[str]) -> list[dict[str, Any]]:
    """Table of an answer in the form of :meth:`BoxAnswers.to_json`: a row for each object.

    Without an object it has one row, of empty cells, so that no image is missing from the table.
    """
    found = objects_of(told)
    parts = ("left", "top", "box_width", "box_height")
    if not found:
        return [dict.fromkeys(("category", "score", *parts), "")]
    return [
        {
            "category": one["category"],
            "score": one["score"],
            **dict(zip(parts, one["bbox"], strict=True)),
            **({"track": one["track"]} if "track" in one else {}),
        }
        for one in found
    ]


class BoxAnswer(ImageAnswer[Objects]):
    """The objects in an image, best first; ``len(answer)`` is their number."""

    answers: BoxAnswers

    def __len__(self) -> int:
        return len(self.value.scores)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(D, 4) x1 y1 x2 y2 in pixels of the image."""
        return self.value.boxes

    @property
    def scores(self) -> NDArray[np.float64]:
        """(D,) in 0..1, falling."""
        return self.value.scores

    @property
    def labels(self) -> NDArray[np.int64]:
        """(D,) numbers of the classes from 1."""
        return self.value.labels

    @property
    def names(self) -> list[str]:
        """Name of each object's class."""
        return [self.answers.classes.names[label - 1] for label in self.labels.tolist()]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Class and score of the best objects; fewer where there are fewer."""
        return list(zip(self.names, self.scores.tolist(), strict=True))[: max(count, 0)]

    def to_supervision(self) -> Any:
        """The objects as ``supervision.Detections``.

        ``class_id`` counts from 0, as that library does: it is :attr:`labels` less 1.
        ``data["class_name"]`` holds the names.

        Raises:
            InputError: If supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise InputError(
                "to_supervision() needs supervision: pip install supervision"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes.astype(np.float32),
            confidence=self.scores.astype(np.float32),
            class_id=self.labels - 1,
            data={"class_name": np.array(self.names, dtype=np.str_)},
        )
