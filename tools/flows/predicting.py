"""Prediction: images, folders and videos in; drawn images, videos and predictions.json out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from configs.tools import Predict
from datasets.errors import InputError
from datasets.images import Image
from datasets.names import odd_file, safe_path, shown
from datasets.packed_pictures import Photo
from tasks.predictor import Predictor
from tools import cli
from tools.flows.evaluating import choose_head, open_to_answer
from tools.flows.pictures import (
    ahead,
    batches,
    find_media,
    output_files,
    read_or_reason,
    write_picture,
)
from tools.flows.recipe import Collector, Recipe, recipe_for
from tools.flows.run_folder import make_folder, require_folder
from tools.flows.videos import VideoFile, frames_of

_USUAL_RATE = 25.0


def predict(args: Predict, recipes: Sequence[Recipe[Any]]) -> tuple[dict[str, Any], str]:
    """Draw answers, write ``predictions.json``. Raises InputError if flags do not fit."""
    args = choose_head(args)
    device = cli.prepare(args.common)
    model = open_to_answer(args)
    application = model.application
    recipe = recipe_for(application, recipes, args.weights)
    photos, videos = find_media(args.paths)
    if videos and not recipe.collector.videos:
        raise InputError(f"{videos[0]}: videos are for detectors; name images or folders")
    if application.use_note and not application.compares:
        cli.say(application.use_note)
    folder = args.common.out or Path("predictions")
    require_folder(folder)
    files = output_files([*(photo.path for photo in photos), *videos], folder) if args.draw else {}
    collector = recipe.collector(args, model, device)
    predictor = model.predictor(device)
    make_folder(folder)
    failures = answer_photos(args, photos, predictor, collector, files)
    for video in videos:
        failures += predict_video(args, video, predictor, collector, files)
    bare = len(failures) == len(photos) + len(videos)
    failures += collector.answer_others(predictor)
    for failure in failures:
        cli.say(f"warning: {failure}")
    if bare:
        raise InputError(collector.empty)
    found, text = collector.finish(folder, files)
    cli.write_json(folder / "predictions.json", found)
    return {"folder": str(folder), "unreadable": failures, **found}, text


def answer_photos(
    args: Predict,
    photos: list[Photo],
    predictor: Predictor,
    collector: Collector,
    files: dict[Path, Path],
) -> list[str]:
    """Process images while threads read and write; returns a message per failed image."""
    failures: list[str] = []
    with ThreadPoolExecutor() as readers, ThreadPoolExecutor() as writers:
        images = ahead(readers, read_or_reason, photos, 2 * args.batch_size)
        pairs = tqdm(
            zip(photos, images, strict=True), "looking", len(photos), unit="image", delay=1
        )
        writing: deque[Future[None]] = deque()
        for batch in batches(_readable(pairs, collector, failures), args.batch_size):
            answers = predictor([image for _, image in batch])
            for (path, image), answer in zip(batch, answers, strict=True):
                collector.add(str(path), image, answer)
                if collector.draws and files:
                    job = writers.submit(_draw, files[path], image, answer, predictor)
                    writing.append(job)
            while len(writing) > args.batch_size:
                writing.popleft().result()
        for job in writing:
            job.result()
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


def _draw(path: Path, image: Image, answer: Any, predictor: Predictor) -> None:
    write_picture(path, predictor.answers.draw(image, answer))


def predict_video(
    args: Predict,
    video: Path,
    predictor: Predictor,
    collector: Collector,
    files: dict[Path, Path],
) -> list[str]:
    """Process every frame; write a video with the answers drawn.

    Returns:
        Messages, if the video cannot be read.

    Raises:
        OSError: If the result cannot be written.
    """
    if what := odd_file(video):
        return [f"{video}: is {what}, and no video"]
    number = 0
    with ExitStack() as opened:
        # A name that is not UTF-8 would crash the process in OpenCV.
        capture = cv2.VideoCapture(opened.enter_context(safe_path(video)))
        if not capture.isOpened():
            return [f"{video}: not a video that can be read"]
        rate = capture.get(cv2.CAP_PROP_FPS) or _USUAL_RATE
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
        drawn = opened.enter_context(VideoFile(files[video], rate)) if files else None
        name = shown(video.name)
        bar = opened.enter_context(tqdm(desc=name, total=total, unit="frame", delay=1))
        for batch in batches(frames_of(capture), args.batch_size):
            for image, answer in zip(batch, predictor(batch), strict=True):
                collector.add(f"{video}#{number}", image, answer)
                number += 1
                if drawn is not None:
                    drawn.write(predictor.answers.draw(image, answer))
            bar.update(len(batch))
        capture.release()
    return [] if number else [f"{video}: holds no frame that can be decoded"]
