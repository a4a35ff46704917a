"""Photos, folders and videos in; drawn pictures and COCO's structure out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from configs.tools import Predict
from datasets.errors import InputError
from datasets.images import SUFFIXES, Image, find_images, read_image, save_image
from datasets.squares import fit_square
from datasets.types import ClassMap
from tasks.detection.answer import ExportedDetector, Predictor
from tasks.detection.draw import draw_detections
from tasks.detection.evaluator import ImageResult
from tasks.detection.model import TASK, load_detector
from tasks.runtime.open import is_export
from tools import cli
from tools.flows.exported import open_export

# Flags of tools/predict.py that not all applications take.
PREDICT_FLAGS = ("proposals", "post")
VIDEOS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})
_DRAWN_AS = frozenset({".jpg", ".jpeg", ".png"})
_JPEG_SUFFIX, _VIDEO_SUFFIX = ".jpg", ".mp4"
Item = TypeVar("Item")
Done = TypeVar("Done")


def find_media(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Photos and videos named, folders searched through.

    Raises:
        InputError: If a path is missing, or there is nothing to look at.
    """
    photos: list[Path] = []
    videos: list[Path] = []
    for path in paths:
        if path.is_dir():
            photos += find_images(path)
            videos += sorted(f for f in path.rglob("*") if f.suffix.lower() in VIDEOS)
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder")
        elif path.suffix.lower() in VIDEOS:
            videos.append(path)
        else:
            photos.append(path)
    if not paths:
        raise InputError("no PATH given: name photos, folders or videos")
    if not photos and not videos:
        known = ", ".join(sorted(SUFFIXES))
        raise InputError(f"{', '.join(map(str, paths))}: no pictures there (looked for {known})")
    return photos, videos


@dataclass
class Found:
    """What was found in all pictures.

    Attributes:
        pictures: COCO's ``images``.
        objects: COCO's ``annotations``, with scores.
        failures: A message per unreadable file.
    """

    pictures: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, name: str, image: Image, result: ImageResult, ids: tuple[int, ...]) -> None:
        """Take up one picture."""
        height, width = image.shape[:2]
        number = len(self.pictures) + 1
        self.pictures.append({"id": number, "file_name": name, "width": width, "height": height})
        for (x1, y1, x2, y2), score, label in zip(
            result["boxes"].tolist(),
            result["scores"].tolist(),
            result["labels"].tolist(),
            strict=True,
        ):
            box = [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)]
            self.objects.append(
                {
                    "id": len(self.objects) + 1,
                    "image_id": number,
                    "category_id": ids[label - 1],
                    "bbox": box,
                    "area": round(box[2] * box[3], 2),
                    "iscrowd": 0,
                    "score": round(score, 4),
                }
            )

    def to_coco(self, classes: ClassMap) -> dict[str, Any]:
        """COCO's structure, which its tools and many viewers read."""
        return {
            "images": self.pictures,
            "annotations": self.objects,
            "categories": classes.to_json(),
        }

    def describe(self, classes: ClassMap, folder: Path) -> str:
        """A line per picture (the first twenty), and the sum."""
        names = dict(zip(classes.ids, classes.names, strict=True))
        inside: dict[int, list[str]] = {}
        for row in self.objects:
            text = f"{names[row['category_id']]} {row['score']:.2f}"
            inside.setdefault(row["image_id"], []).append(text)
        lines = []
        for picture in self.pictures[:20]:
            found = inside.get(picture["id"], ["nothing"])
            more = f" and {len(found) - 8} more" if len(found) > 8 else ""
            lines.append(f"  {picture['file_name']}: {', '.join(found[:8])}{more}")
        if len(self.pictures) > 20:
            lines.append(f"  ... and {len(self.pictures) - 20} more")
        lines.append(f"{len(self.objects)} objects in {len(self.pictures)} pictures: {folder}")
        return "\n".join(lines)


def predict_photos(
    args: Predict,
    photos: list[Path],
    predictor: Predictor | ExportedDetector,
    found: Found,
    files: dict[Path, Path],
) -> None:
    """Read, detect, draw and write; reading and writing run in threads beside the network."""
    with ThreadPoolExecutor() as readers, ThreadPoolExecutor() as writers:
        images = zip(
            photos, ahead(readers, read_or_reason, photos, 2 * args.batch_size), strict=True
        )
        bar = tqdm(images, "looking", len(photos), unit="photo", delay=1)
        readable = _readable(bar, found)
        writing: deque[Future[None]] = deque()
        for batch in batches(readable, args.batch_size):
            for (path, image), result in zip(
                batch, predictor([image for _, image in batch]), strict=True
            ):
                found.add(str(path), image, result, predictor.classes.ids)
                if args.draw:
                    job = writers.submit(_write, files[path], image, result, predictor.classes)
                    writing.append(job)
            while len(writing) > args.batch_size:
                writing.popleft().result()
        for job in writing:
            job.result()


def predict_video(
    args: Predict,
    video: Path,
    predictor: Predictor | ExportedDetector,
    found: Found,
    files: dict[Path, Path],
) -> None:
    """Detect in every frame; write a video with boxes.

    Raises:
        OSError: If the result cannot be written.
    """
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        found.failures.append(f"{video}: not a video that can be read")
        return
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    writer: cv2.VideoWriter | None = None

    def frames() -> Iterator[Image]:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield np.ascontiguousarray(frame[..., ::-1])

    bar = tqdm(desc=video.name, total=total or None, unit="frame", delay=1)
    number = 0
    for batch in batches(frames(), args.batch_size):
        for image, result in zip(batch, predictor(batch), strict=True):
            found.add(f"{video}#{number}", image, result, predictor.classes.ids)
            number += 1
            if args.draw:
                if writer is None:
                    writer = _open_writer(files[video], rate, image)
                writer.write(_drawn(image, result, predictor.classes)[..., ::-1])
        bar.update(len(batch))
    bar.close()
    capture.release()
    if writer is not None:
        writer.release()
    if not number:
        found.failures.append(f"{video}: holds no frame that can be decoded")


def _open_writer(path: Path, rate: float, image: Image) -> cv2.VideoWriter:
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, rate, (image.shape[1], image.shape[0]))
    if not writer.isOpened():
        raise OSError(f"{path}: the video cannot be written")
    return writer


def read_or_reason(path: Path) -> Image | str:
    """A photo (H, W, 3) RGB as a person sees it, or why it cannot be read."""
    try:
        return read_image(path, upright=True)
    except ValueError as error:
        return str(error)


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Done], items: Iterable[Item], depth: int
) -> Iterator[Done]:
    """Results in order, at most ``depth`` of them computed ahead of the reader."""
    waiting: deque[Future[Done]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _readable(
    pairs: Iterable[tuple[Path, Image | str]], found: Found
) -> Iterator[tuple[Path, Image]]:
    for path, image in pairs:
        if isinstance(image, str):
            found.failures.append(image)
        else:
            yield path, image


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` items; the last may be shorter."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def output_files(inputs: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Where each drawn picture or video goes; a number parts those of the same name.

    Raises:
        InputError: If an original would be overwritten.
    """
    taken: set[str] = set()
    files: dict[Path, Path] = {}
    for path in inputs:
        video, keep = path.suffix.lower() in VIDEOS, path.suffix.lower() in _DRAWN_AS
        suffix = _VIDEO_SUFFIX if video else (path.suffix if keep else _JPEG_SUFFIX)
        name, number = f"{path.stem}{suffix}", 1
        while name in taken:
            number += 1
            name = f"{path.stem}_{number}{suffix}"
        taken.add(name)
        files[path] = folder / name
    originals = {path.resolve() for path in files}
    for file in files.values():
        if file.resolve() in originals:
            raise InputError(f"--out {folder}: would overwrite {file}; choose another folder")
    return files


def _drawn(image: Image, result: ImageResult, classes: ClassMap) -> Image:
    labels, scores = result["labels"].tolist(), result["scores"].tolist()
    return draw_detections(image, result["boxes"], labels, scores, classes.names)


def _write(path: Path, image: Image, result: ImageResult, classes: ClassMap) -> None:
    save_image(path, _drawn(image, result, classes))


def _open(args: Predict, device: str) -> Predictor | ExportedDetector:
    if is_export(args.weights):
        args.refuse_unless(("post",), "an export, which has its own number")
        return ExportedDetector(open_export(args, TASK), args.post)
    model, card = load_detector(args.weights, post=args.post, proposals=args.proposals)
    spec = model.spec
    fit = partial(fit_square, size=spec.size, keep_aspect=spec.keep_aspect)
    return Predictor(model, card.classes, device, fit)


def predict_objects(args: Predict) -> tuple[dict[str, Any], str]:
    """Detect, draw boxes and write ``predictions.json``.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If weights, flags or files do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(PREDICT_FLAGS, TASK)
    photos, videos = find_media(args.paths)
    folder = args.common.out or Path("predictions")
    files = output_files([*photos, *videos], folder) if args.draw else {}
    predictor = _open(args, device)
    folder.mkdir(parents=True, exist_ok=True)
    found = Found()
    predict_photos(args, photos, predictor, found, files)
    for video in videos:
        predict_video(args, video, predictor, found, files)
    for failure in found.failures:
        cli.say(f"warning: {failure}")
    if not found.pictures:
        raise InputError("none of the files could be read")
    coco = found.to_coco(predictor.classes)
    cli.write_json(folder / "predictions.json", coco)
    result = {"folder": str(folder), "unreadable": found.failures, **coco}
    return result, found.describe(predictor.classes, folder)
