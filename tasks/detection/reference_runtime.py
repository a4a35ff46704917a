"""TensorFlow's own runtime behind a detector's contract, to measure the original by our ruler.

The file's own post-processing keeps ten boxes, too few for mAP; so its raw outputs are taken and
go through the same NMS as ours. Needs ``ai-edge-litert``, which only the tests install.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone.formats.tflite import read_tflite
from datasets.errors import InputError
from datasets.types import read_labels
from tasks.detection.from_tflite import BOX_ORDER, import_ssd
from tasks.detection.postprocess import Detections, postprocess
from tasks.detection.spec import DetectOptions, PostSpec
from tasks.detection.ssd import SSD
from tasks.weights.card import Card


class LiteRtDetector(nn.Module):
    """An SSD .tflite file run by LiteRT.

    Args:
        path: Of the file.
        post: From raw outputs to detections; by default the file's NMS overlap.
        labels: File with the classes; by default COCO's where there are 90.

    Raises:
        InputError: If LiteRT is not installed, or the file is no SSD MobileNet v1.
    """

    anchors: Tensor

    def __init__(
        self, path: Path, post: PostSpec | None = None, labels: Path | None = None
    ) -> None:
        super().__init__()
        try:
            from ai_edge_litert.interpreter import (
                Interpreter,
                OpResolverType,
            )
        except ImportError as error:
            raise InputError(
                f"{path}: running the original file needs LiteRT: pip install ai-edge-litert; "
                "or bring the weights in with tools/import_weights.py"
            ) from error
        model, self.card = import_ssd(path, read_labels(labels) if labels else None)
        self.spec, self.post = model.spec, post or model.post
        self.register_buffer("anchors", model.anchors)
        # Without delegates the inner tensors can be read after a run.
        self._runtime: Any = Interpreter(
            str(path),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._runtime.allocate_tensors()
        self._tensors = {row["name"]: row for row in self._runtime.get_tensor_details()}
        self._boxes, self._scores, _ = read_tflite(path).inputs
        self._input = self._runtime.get_input_details()[0]["index"]

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, A, 1 + C) and box offsets (B, A, 4) of uint8 images (B, 3, S, S)."""
        logits, offsets = [], []
        for image in images.permute(0, 2, 3, 1).cpu().numpy():
            self._runtime.set_tensor(self._input, image[None].astype(np.uint8))
            self._runtime.invoke()
            scores = self._values(self._scores).clamp(0, 1)
            logits.append(torch.logit(scores, eps=1e-6))
            offsets.append(self._values(self._boxes)[..., BOX_ORDER])
        return torch.cat(logits), torch.cat(offsets)

    def forward(self, images: Tensor) -> Detections:
        """Detections of uint8 images (B, 3, S, S)."""
        logits, offsets = self.raw(images)
        return postprocess(logits, offsets, self.anchors.cpu(), self.post)

    def __deepcopy__(self, _memo: dict[int, Any]) -> LiteRtDetector:
        """Itself: the runtime cannot be copied, and nothing ever changes it."""
        return self

    def _values(self, name: str) -> Tensor:
        """A tensor of the last run, dequantised."""
        row = self._tensors[name]
        scale, zero = row["quantization"]
        raw: NDArray[Any] = self._runtime.get_tensor(row["index"])
        return torch.from_numpy(((raw.astype(np.float64) - zero) * scale).astype(np.float32))


def open_litert(
    path: Path, options: DetectOptions, labels: Path | None = None
) -> tuple[LiteRtDetector, Card]:
    """The original file as a model and its card.

    Raises:
        InputError: If it cannot be run, or is asked for what it does not have.
    """
    if options.proposals is not None:
        raise InputError(f"--proposals {options.proposals}: {path} has no second stage")
    model = LiteRtDetector(path, options.post, labels)
    return model, model.card


def compare(path: Path, model: SSD, images: Tensor) -> float:
    """Largest difference of any score between the original file and its import.

    Args:
        path: Of the original.
        model: What was imported, in evaluation mode.
        images: (B, 3, S, S) uint8.
    """
    with torch.inference_mode():
        theirs, _ = LiteRtDetector(path).raw(images)
        ours, _ = model.raw(images)
    return float((theirs.sigmoid() - ours.sigmoid()).abs().max())
