"""Imports TensorFlow's SSD300 MobileNet v1 (.tflite), and runs it in its own runtime.

Every tensor is checked, and none is guessed. The file's own post-processing keeps ten boxes, too
few for mAP; so its raw outputs are read and pass through the suite's NMS. Running it needs
``ai-edge-litert``, which only the tests install.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone.formats.folded import FoldedConv, body_state, chain_alpha, conv_bn
from backbone.formats.graph import refuse_pools
from backbone.formats.network import BODY, BODY_CONVS
from backbone.formats.tflite import BOXES, TfliteModel, read_tflite, tflite_chain, tflite_flavour
from datasets.errors import InputError
from datasets.types import COCO_CLASSES, ClassMap, read_labels
from tasks.detection.anchors import CODER_WEIGHTS
from tasks.detection.model import build_detector
from tasks.detection.postprocess import Detections, postprocess
from tasks.detection.spec import TASK, DetectOptions, DetectorSpec, PostSpec
from tasks.detection.ssd import SSD
from tasks.detection.ssd_layout import MOBILENET
from tasks.runtime.litert_session import INSTALL
from tasks.weights.card import Card
from tasks.weights.file import load_into

# TensorFlow's box encodings are ty tx th tw; ours are dx dy dw dh.
BOX_ORDER = (1, 0, 3, 2)
_EXTRAS = 2 * len(MOBILENET.extras)  # Convolutions.
_LEVELS = len(MOBILENET.shapes)


def classes_of(path: Path, columns: int, classes: ClassMap | None) -> ClassMap:
    """Classes of the outputs after the background: those given, COCO's 90, or only numbers.

    Args:
        path: Path of the file, for messages.
        columns: Number of outputs, including background.
        classes: Classes that the user gives.

    Raises:
        InputError: If their number is wrong; the message names the file.
    """
    if classes is None and columns == 1 + len(COCO_CLASSES):
        classes = COCO_CLASSES
    classes = classes or ClassMap.from_names([f"class {k}" for k in range(1, columns)])
    if len(classes) != columns - 1:
        raise InputError(
            f"{path}: {columns - 1} class columns, but {len(classes)} class names were given"
        )
    return classes


def import_ssd(path: Path, classes: ClassMap | None = None) -> tuple[SSD, Card]:
    """Import the file as a detector.

    Args:
        path: The file.
        classes: Classes of its outputs after the background, with original ids; by default COCO's
            if there are 90, otherwise they are numbered.

    Raises:
        InputError: If the file is not that network, or a tensor does not fit.
    """
    source = read_tflite(path)
    refuse_pools(path, source.row, len(source.convs))
    boxes, scores = _predictors(source)
    extras = source.convs[BODY_CONVS : BODY_CONVS + _EXTRAS]
    anchors = sum(len(conv.weight) for conv in boxes) // 4
    columns = sum(len(conv.weight) for conv in scores) // anchors
    classes = classes_of(path, columns, classes)
    flavour = tflite_flavour(source, BODY_CONVS + len(extras))
    flavour = replace(flavour, input=replace(flavour.input, crop=1.0))
    spec = DetectorSpec(alpha=chain_alpha(tflite_chain(source)), size=source.input_shape[0])
    model = build_detector(spec, classes, flavour, post=_post(source))
    assert isinstance(model, SSD)
    _check_anchors(source, model.anchors)
    state = {f"{BODY}{k}": v for k, v in body_state(source.convs[:BODY_CONVS]).items()}
    for number, conv in enumerate(extras):
        state |= conv_bn(f"extras.{number // 2}.{number % 2}", conv)
    for level, (box, score) in enumerate(zip(boxes, scores, strict=True)):
        for name, conv in (("box", reorder(box)), ("class", score)):
            state[f"{name}_predictors.{level}.weight"] = conv.weight
            state[f"{name}_predictors.{level}.bias"] = conv.bias
    load_into(model, state, str(path))
    source_text = f"imported from {path.name} (TensorFlow Lite, dequantised)"
    card = Card(TASK, spec.to_json(), flavour, classes, source=source_text, folded=True)
    return model.eval(), card


def _predictors(source: TfliteModel) -> tuple[list[FoldedConv], list[FoldedConv]]:
    """Box and class predictors of the six feature maps, finest first."""
    boxes = [conv for conv in source.convs if BOXES in conv.name]
    scores = [conv for conv in source.convs if "ClassPredictor" in conv.name]
    expected = BODY_CONVS + _EXTRAS + 2 * _LEVELS
    if (len(boxes), len(scores), len(source.convs)) != (_LEVELS, _LEVELS, expected):
        raise InputError(
            f"{source.path}: not an SSD MobileNet v1 of six feature maps: {len(source.convs)} "
            f"convolutions, {len(boxes)} box and {len(scores)} class predictors; a classifier is "
            "imported first, by tools/import_weights.py"
        )
    return boxes, scores


def reorder(conv: FoldedConv) -> FoldedConv:
    """A box predictor of TensorFlow with each anchor's four outputs in the suite's order."""
    order = (4 * torch.arange(len(conv.weight) // 4)[:, None] + torch.tensor(BOX_ORDER)).flatten()
    return replace(conv, weight=conv.weight[order], bias=conv.bias[order])


def _post(source: TfliteModel) -> PostSpec:
    """The file's own NMS overlap; its limits of ten detections and score 1e-8 suit phones."""
    names = ("x_scale", "y_scale", "w_scale", "h_scale")
    found = tuple(float(source.options.get(name, 0)) for name in names)
    if found != CODER_WEIGHTS:
        raise InputError(f"{source.path}: box coder {found}; ours is {CODER_WEIGHTS}")
    if "nms_iou_threshold" not in source.options:
        raise InputError(f"{source.path}: its post-processing states no nms_iou_threshold")
    return PostSpec(nms_iou=round(float(source.options["nms_iou_threshold"]), 6))


def _check_anchors(source: TfliteModel, ours: Tensor) -> None:
    """Compare the file's anchors (cy cx h w, quantised) with ours (cx cy w h)."""
    theirs = source.constants.get("anchors")
    if theirs is None or theirs.shape != tuple(ours.shape):
        shape = None if theirs is None else theirs.shape
        raise InputError(f"{source.path}: anchors {shape}; ours are {tuple(ours.shape)}")
    difference = float(np.abs(theirs[:, BOX_ORDER] - ours.numpy()).max())
    step = float(np.diff(np.unique(theirs)).min())
    if difference > step:
        raise InputError(f"{source.path}: anchors differ from ours by {difference:.3f}")


class LiteRtDetector(nn.Module):
    """An SSD .tflite file run by LiteRT, by default with the file's NMS overlap.

    ``labels`` is a file with its classes; without one they are COCO's where there are 90.

    Raises:
        InputError: If LiteRT is not installed or cannot run the file, or it is no SSD MobileNet
            v1.
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
                f"{path}: running the original file needs LiteRT: {INSTALL}; "
                "or bring the weights in with tools/import_weights.py"
            ) from error
        model, self.card = import_ssd(path, read_labels(labels) if labels else None)
        self.spec, self.post = model.spec, post or model.post
        self.register_buffer("anchors", model.anchors)
        self._path = path
        # Without delegates the inner tensors can be read after a run.
        try:
            self._runtime: Any = Interpreter(
                str(path),
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._runtime.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise _refused(path, error) from error
        self._tensors = {row["name"]: row for row in self._runtime.get_tensor_details()}
        self._boxes, self._scores, _ = read_tflite(path).inputs
        for name in (self._boxes, self._scores):
            if name not in self._tensors:
                raise InputError(f"{path}: damaged: LiteRT finds no tensor {name!r:.80}")
        self._input = self._runtime.get_input_details()[0]

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (B, A, 1 + C) and box offsets (B, A, 4) of uint8 images (B, 3, S, S).

        Raises:
            InputError: If LiteRT cannot run the file.
        """
        logits, offsets = [], []
        # An integer of int8 is the image's byte - 128.
        lowest = np.iinfo(self._input["dtype"]).min
        for image in images.permute(0, 2, 3, 1).cpu().numpy():
            given = (image[None].astype(np.int16) + lowest).astype(self._input["dtype"])
            self._runtime.set_tensor(self._input["index"], given)
            try:
                self._runtime.invoke()
            except (RuntimeError, ValueError) as error:
                raise _refused(self._path, error) from error
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
        if not scale:  # Floats.
            return torch.from_numpy(raw.astype(np.float32))
        return torch.from_numpy(((raw.astype(np.float64) - zero) * scale).astype(np.float32))


def _refused(path: Path, error: Exception) -> InputError:
    told = str(error).strip().partition("\n")[0]
    return InputError(
        f"{path}: LiteRT cannot run it ({told}); bring the weights in with tools/import_weights.py"
    )


def open_litert(
    path: Path, options: DetectOptions, labels: Path | None = None
) -> tuple[LiteRtDetector, Card]:
    """The original file as a model and its card. Raises InputError if it cannot be run so."""
    if options.proposals is not None:
        raise InputError(f"--proposals {options.proposals}: {path} has no second stage")
    model = LiteRtDetector(path, options.lowest, labels)
    return model, model.card


def compare(path: Path, model: SSD, images: Tensor) -> float:
    """Largest difference of any score between the original file and its import.

    Images are (B, 3, S, S) uint8, the model is in evaluation mode.
    """
    with torch.inference_mode():
        theirs, _ = LiteRtDetector(path).raw(images)
        ours, _ = model.raw(images)
    return float((theirs.sigmoid() - ours.sigmoid()).abs().max())
