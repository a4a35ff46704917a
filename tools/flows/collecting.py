"""Prediction where images are compared with each other: all answers are collected first."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any

from tqdm import tqdm

from configs.tools import Predict
from datasets.errors import InputError
from datasets.images import Image
from datasets.names import is_there, shown
from datasets.packed_pictures import Photo
from datasets.shards.finding import is_pattern
from tasks.predictor import Model, Predictor
from tools import cli
from tools.flows.addresses import is_address, without_password
from tools.flows.pictures import ahead, batches, find_media, output_files, read_or_reason
from tools.flows.recipe import Collector, Recipe, recipe_for
from tools.flows.run_folder import make_folder, require_folder
from tools.flows.sources import LISTS, STDIN

_STREAMED = ("format", "every", "frames", "part", "resume", "strict")


def collect(
    args: Predict, model: Model, device: str, recipes: Sequence[Recipe[Any]]
) -> tuple[dict[str, Any], str]:
    """Compare images, draw them, and write ``predictions.json``.

    Raises:
        InputError: If flags do not fit, or there is nothing to compare.
    """
    application = model.application
    for name in _STREAMED:
        if (value := getattr(args, name)) != Predict.__dataclass_fields__[name].default:
            given = "" if isinstance(value, bool) else f" {value}"
            raise InputError(
                f"--{name}{given}: the weights are for {application.name}, which compares all "
                "images with each other; leave it out"
            )
    for path in args.paths:
        _refuse_stream(path)
    collector_of = recipe_for(application, recipes, args.weights).collector
    assert collector_of is not None
    photos, videos = find_media([Path(path) for path in args.paths])
    if videos:
        raise InputError(f"{videos[0]}: a video cannot be compared; name images or folders")
    folder = args.common.out or Path("predictions")
    require_folder(folder)
    files = output_files([photo.path for photo in photos], folder) if args.draw else {}
    collector = collector_of(args, model, device)
    predictor = model.predictor(device)
    make_folder(folder)
    failures = answer_photos(args, photos, predictor, collector)
    bare = len(failures) == len(photos)
    failures += collector.answer_others(predictor)
    for failure in failures:
        cli.say(f"warning: {failure}")
    if bare:
        raise InputError(collector.empty)
    found, text = collector.finish(folder, files)
    cli.write_json(folder / "predictions.json", found)
    return {"folder": folder, "unreadable": failures, **found}, text


def _refuse_stream(path: str) -> None:
    """Refuse what the arguments of other applications may stand for. Raises InputError."""
    if is_there(path):
        what = "a list of paths" if PurePath(path).suffix.lower() in LISTS else ""
    elif path == STDIN:
        what = "a list of paths"
    elif is_address(path):
        what = "an address"
    else:
        is_odd = glob.has_magic(path) and not is_pattern(Path(path))
        what = "a pattern" if is_odd else "a camera" if path.isdecimal() else ""
    if what:
        raise InputError(
            f"{shown(without_password(path))}: is {what}; images that are compared with each "
            "other must be named, or be in folders or archives that are named"
        )


def answer_photos(
    args: Predict, photos: list[Photo], predictor: Predictor, collector: Collector
) -> list[str]:
    """Process images while threads read; returns a message per failed image."""
    failures: list[str] = []
    with ThreadPoolExecutor() as readers:
        images = ahead(readers, read_or_reason, photos, 2 * args.batch_size)
        pairs = tqdm(
            zip(photos, images, strict=True), "looking", len(photos), unit="image", delay=1
        )
        for batch in batches(_readable(pairs, collector, failures), args.batch_size):
            answers = predictor([image for _, image in batch])
            for (path, image), answer in zip(batch, answers, strict=True):
                collector.add(str(path), image, answer)
    return failures


def _readable(
    pairs: Any, collector: Collector, failures: list[str]
) -> Iterator[tuple[Path, Image]]:
    for photo, read in pairs:
        image = read if isinstance(read, str) else collector.prepare(photo.path, read)
        if isinstance(image, str):
            failures.append(image)
        else:
            yield photo.path, image
