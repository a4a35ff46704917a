"""MediaPipe's answer to a photo beside this suite's, from one and the same file.

    pip install mediapipe ai-edge-litert opencv-python-headless pillow safetensors
    PYTHONPATH=. python tests/phone/ask_mediapipe.py model.tflite photo.jpg

Takes what MediaPipe's ImageClassifier and ObjectDetector open: classifiers, and detectors that
were exported with ``--postprocess tensorflow``, in 32-bit floats or 8 bits. An environment of its
own will do, without PyTorch. MediaPipe is given the square that the file wants: it would resize
photos in its own way, and a difference of that is none of the file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from datasets.images import read_image
from tasks.runtime.exported import Exported
from tasks.runtime.open import open_export
from tasks.runtime.square import squares_of

_BEST = 5


def ask_mediapipe(file: Path, square: Any, task: str) -> Iterator[tuple[str, float, list[float]]]:
    """Names, scores and boxes, x1 y1 x2 y2 in pixels of the square, best first."""
    mediapipe = import_module("mediapipe")
    vision: Any = import_module("mediapipe.tasks.python.vision")
    base = import_module("mediapipe.tasks.python").BaseOptions(model_asset_path=str(file))
    image = mediapipe.Image(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(square)
    )
    if task == "detection":
        options = vision.ObjectDetectorOptions(base_options=base, max_results=_BEST)
        with vision.ObjectDetector.create_from_options(options) as detector:
            for one in detector.detect(image).detections:
                box = one.bounding_box
                x, y = box.origin_x, box.origin_y
                for best in one.categories:  # Several, where boxes are the same.
                    yield best.category_name, best.score, [x, y, x + box.width, y + box.height]
        return
    options = vision.ImageClassifierOptions(base_options=base, max_results=_BEST)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for best in classifier.classify(image).classifications[0].categories:
            yield best.category_name, best.score, []


def ask_ours(exported: Exported, image: Any) -> Iterator[tuple[str, float, list[float]]]:
    """The same of this suite, which makes the square itself."""
    names, (found,) = exported.card.classes.names, exported([image])
    if exported.task == "detection":
        rows = zip(found["labels"], found["scores"], found["boxes"], strict=True)
        for label, score, box in [*rows][:_BEST]:
            yield names[label - 1], float(score), [float(side) for side in box]
        return
    shares = found["probabilities"]
    for place in np.argsort(-shares, kind="stable")[:_BEST]:
        yield names[place], float(shares[place]), []


def main() -> None:
    """Print both answers, line by line side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a .tflite of tools/export.py")
    parser.add_argument("photo", type=Path)
    args = parser.parse_args()
    exported = open_export(args.file, 1)
    (prepare,) = squares_of(exported.facts, args.file).values()
    photo = read_image(args.photo, upright=True)
    square = prepare(photo)
    print(f"{args.file.name}, {exported.precision}, {args.photo.name}")
    answers = {
        f"MediaPipe {metadata.version('mediapipe')}": ask_mediapipe(
            args.file, square, exported.task
        ),
        # A square's own square is itself, unless its centre is cut out.
        "this suite": ask_ours(exported, photo if prepare.fit == "centre" else square),
    }
    for who, rows in answers.items():
        print(f"  {who}")
        for name, score, box in sorted(rows, key=lambda row: -row[1]):
            where = f"  {' '.join(f'{side:.0f}' for side in box)}" if box else ""
            print(f"    {score:.4f}  {name}{where}")


if __name__ == "__main__":
    main()
