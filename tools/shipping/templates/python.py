"""Python programs for each target, in which ``$NAME`` stands for a value."""

from __future__ import annotations

from typing import Final

_PYTHON_TAIL = '''

def upright(file: str) -> Image.Image:
    """The RGB image in a file, turned as the camera noted in its EXIF data."""
    return ImageOps.exif_transpose(Image.open(file)).convert("RGB")


def main() -> None:
    """Print the outputs for an image, ranked by the labels where there is one for each."""
    outputs = answer(upright(sys.argv[1]))
    labels = (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()
    for name, value in outputs.items():
        print(name, value.shape)
        if value.ndim == 1 and len(value) == len(labels) and value.dtype == np.float32:
            for k in value.argsort()[::-1][:5]:
                print(f"  {value[k]:.3f} {labels[k]}")
    if "boxes" in outputs:
        for box, score, label in zip(outputs["boxes"], outputs["scores"], outputs["labels"]):
            if label > 0:
                print(f"  {score:.3f} {labels[label - 1]} {box.round(1).tolist()}")


if __name__ == "__main__":
    main()
'''
_PYTHON_SQUARE = '''
SIDE, SHORT, WHOLE, KEEP_ASPECT = $SIDE, $SHORT, $WHOLE, $KEEP_ASPECT


def square(image: Image.Image) -> np.ndarray:
    """The square (SIDE, SIDE, 3) that the network sees."""
    width, height = image.size
    if WHOLE:
        import cv2  # Resizes without antialiasing, as in training.

        scale = SIDE / max(width, height)
        sides = (round(width * scale), round(height * scale)) if KEEP_ASPECT else (SIDE, SIDE)
        filled = np.full((SIDE, SIDE, 3), (124, 116, 104), np.uint8)
        filled[: sides[1], : sides[0]] = cv2.resize(np.asarray(image), sides)
        return filled
    sides = (width * SHORT // min(width, height), height * SHORT // min(width, height))
    left, top = round((sides[0] - SIDE) / 2), round((sides[1] - SIDE) / 2)
    resized = image.resize(sides, Image.Resampling.$FILTER)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))


def in_pixels(outputs: dict[str, np.ndarray], image: Image.Image) -> dict[str, np.ndarray]:
    """Outputs with boxes in pixels of the image instead of shares of the square."""
    if "boxes" in outputs:
        frame = np.array([*image.size, *image.size], np.float32)
        scale = np.float32(max(image.size)) if KEEP_ASPECT else frame
        boxes = np.minimum(outputs["boxes"] * scale, frame)
        real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # Others are in the fill.
        outputs |= {"boxes": boxes, "labels": outputs["labels"] * real}
    return outputs
'''
_PYTHON_HEAD = '''"""Answer for an image: python model.py IMAGE

Outputs of $FILE, of which the first axis is dropped:
"""
$HASH_ABOUT

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
'''

PYTHON: Final = {
    "litert": _PYTHON_HEAD
    + """from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).resolve().parent
INTERPRETER = Interpreter(model_path=str(HERE / "$FILE"), num_threads=1)
INTERPRETER.allocate_tensors()
RUN = INTERPRETER.get_signature_runner()
"""
    + _PYTHON_SQUARE
    + '''

def answer(image: Image.Image) -> dict[str, np.ndarray]:
    """The outputs for an image, by name."""
    found = RUN(images=square(image)[None])
    return in_pixels({name: value[0] for name, value in found.items()}, image)
'''
    + _PYTHON_TAIL,
    "onnx": _PYTHON_HEAD
    + '''from onnxruntime import InferenceSession, SessionOptions

HERE = Path(__file__).resolve().parent
OPTIONS = SessionOptions()
OPTIONS.intra_op_num_threads = 1
SESSION = InferenceSession(HERE / "$FILE", OPTIONS, providers=["CPUExecutionProvider"])
OUTPUTS = $OUTPUT_LIST


def answer(image: Image.Image) -> dict[str, np.ndarray]:
    """The outputs for an image of any size, by name."""
    found = SESSION.run(OUTPUTS, {"images": np.asarray(image)[None]})
    return {name: value[0] for name, value in zip(OUTPUTS, found)}
'''
    + _PYTHON_TAIL,
    "executorch": _PYTHON_HEAD
    + """import torch
from executorch.runtime import Runtime

HERE = Path(__file__).resolve().parent
FORWARD = Runtime.get().load_program(HERE / "$FILE").load_method("forward")
OUTPUTS = $OUTPUT_LIST
"""
    + _PYTHON_SQUARE
    + '''

def answer(image: Image.Image) -> dict[str, np.ndarray]:
    """The outputs for an image, by name."""
    found = FORWARD.execute([torch.tensor(square(image)[None])])
    return in_pixels({name: np.asarray(v)[0] for name, v in zip(OUTPUTS, found)}, image)
'''
    + _PYTHON_TAIL,
}
