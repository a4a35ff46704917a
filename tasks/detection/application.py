"""Detection: boxes around objects, by SSD or Faster R-CNN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datasets.errors import InputError
from tasks.application import Facts, Metric, Original, PhotoApplication, network_of
from tasks.detection.answer import (
    SCHEMA,
    BoxAnswer,
    BoxAnswers,
    objects_of,
    refuse_other_post,
    rows_of,
)
from tasks.detection.evaluator import MEANINGS
from tasks.detection.spec import SHOWN_SCORE, SIZES, TASK, DetectOptions, PostSpec, TileSpec
from tasks.detection.tiles import Look, tiled
from tasks.export.compare import Limits
from tasks.weights.card import Card

if TYPE_CHECKING:
    from torch import nn

# Sides in pixels, below a framework's own, at which its networks are compared.
_SMALLER = {"ssd300": (240, 180)}


def _answers(card: Card, facts: Facts, options: DetectOptions, path: Path) -> BoxAnswers:
    refuse_other_post(options, facts.get("post", {}), path)
    own = facts["post"]["score_threshold"]
    for name, least in options.keep.thresholds.items():
        if least < own:
            raise InputError(
                f"--class-thresholds {name}={least}: {path} was made with {own}; export it again "
                f"with --score-threshold {least}"
            )
    return BoxAnswers(card.classes, options.post.score_threshold, options.keep)


def _tiled(look: Look, spec: TileSpec, facts: Facts, batch_size: int) -> Look:
    return tiled(look, spec, PostSpec(**facts["post"]), batch_size)


def _claims(path: Path) -> bool:
    from backbone.formats.tflite import has_boxes, read_tflite

    return has_boxes(read_tflite(path))


def _open_litert(
    path: Path, options: DetectOptions, labels: Path | None
) -> tuple[nn.Module, Card]:
    from tasks.detection.from_tflite import open_litert

    return open_litert(path, options, labels)


DETECTION = PhotoApplication(
    name=TASK,
    title="Objects",
    train_tool="train_det",
    options=DetectOptions,
    outputs={
        "boxes": "(K, 4) float32 x1 y1 x2 y2 in pixels of the image, best first",
        "scores": "(K,) float32 in 0..1",
        "labels": "(K,) int64 from 1; a label of 0 is padding",
    },
    network=network_of(f"{__package__}.network"),
    answers=_answers,
    answer=BoxAnswer,
    schema=SCHEMA,
    for_people=DetectOptions(post=PostSpec(score_threshold=SHOWN_SCORE)),
    metric=Metric("AP", "AP"),
    compared_by=Metric("AP", "COCO AP %"),
    variants={name: (size, *_SMALLER.get(name, ())) for name, size in SIZES.items()},
    meanings=MEANINGS,
    limits=lambda facts, _: Limits(
        least=facts["post"]["score_threshold"], most=facts["post"]["detections"]
    ),
    pipeline="object-detection",
    flags=(
        "scorer",
        "proposals",
        "post",
        "postprocess",
        "format",
        "images",
        "keep",
        "crops",
        "tiling",
    ),
    objects=objects_of,
    rows=rows_of,
    tiled=_tiled,
    fixed={"proposals": "an export, which has its own number"},
    originals={".tflite": Original(_claims, _open_litert)},
    head="boxes",
)
