"""Every frame of a video answered for, and drawn into a new one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from configs.tools import Predict
from datasets.images import Image
from datasets.names import safe_path, shown
from tasks.predictor import Predictor
from tools.flows.pictures import batches
from tools.flows.recipe import Collector

_USUAL_RATE = 25.0


def predict_video(
    args: Predict,
    video: Path,
    predictor: Predictor,
    collector: Collector,
    files: dict[Path, Path],
) -> list[str]:
    """Answer for every frame; write a video with the answers drawn.

    Returns:
        Messages, where the video cannot be read.

    Raises:
        OSError: If the result cannot be written.
    """
    number = 0
    writer: cv2.VideoWriter | None = None
    with ExitStack() as names:
        # A name that is no UTF-8 would take the process down in OpenCV.
        capture = cv2.VideoCapture(names.enter_context(safe_path(video)))
        if not capture.isOpened():
            return [f"{video}: not a video that can be read"]
        drawn = names.enter_context(safe_path(files[video])) if files else None
        rate = capture.get(cv2.CAP_PROP_FPS) or _USUAL_RATE
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
        name = shown(video.name)
        bar = names.enter_context(tqdm(desc=name, total=total, unit="frame", delay=1))
        for batch in batches(_frames(capture), args.batch_size):
            for image, answer in zip(batch, predictor(batch), strict=True):
                collector.add(f"{video}#{number}", image, answer)
                number += 1
                if drawn is not None:
                    writer = writer or _open_writer(drawn, rate, image)
                    writer.write(predictor.answers.draw(image, answer)[..., ::-1])
            bar.update(len(batch))
        capture.release()
        if writer is not None:
            writer.release()
    return [] if number else [f"{video}: holds no frame that can be decoded"]


def _frames(capture: cv2.VideoCapture) -> Iterator[Image]:
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield np.ascontiguousarray(frame[..., ::-1])


def _open_writer(path: str, rate: float, image: Image) -> cv2.VideoWriter:
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(path, code, rate, (image.shape[1], image.shape[0]))
    if not writer.isOpened():
        raise OSError(f"{path}: the video cannot be written")
    return writer
