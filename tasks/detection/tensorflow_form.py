"""A detector whose end is TensorFlow's own operator, which Android's and MediaPipe's know."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from datasets.errors import InputError
from tasks.application import PhotoApplication, TensorflowForm
from tasks.core_operators import core_operators
from tasks.detection.anchors import CODER_WEIGHTS, decode
from tasks.detection.postprocess import Detections, postprocess
from tasks.detection.ssd import SSD
from tasks.export.litert.detection_postprocess import RAW, PostProcess
from tasks.square_graph import SquareGraph
from tasks.weights.card import Card

# From our order of a box's four numbers, x y w h, to TensorFlow's: y x h w.
_ORDER = (1, 0, 3, 2)


class RawSquare(SquareGraph):
    """An SSD from a square (1, S, S, 3) uint8 RGB to its detections and what the operator takes.

    ``inner`` are ``offsets`` (1, A, 4) dy dx dh dw and ``class_scores`` (1, A, C) in 0..1, without
    background. Arguments are those of :class:`SquareGraph`, of a model that passed
    :func:`form_of`.
    """

    def __init__(self, application: PhotoApplication[Any], model: nn.Module, card: Card) -> None:
        super().__init__(application, model, card)
        self.inner = RAW

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Detections of one square, as :class:`SquareGraph` gives them, and raw outputs."""
        model = self.model
        assert isinstance(model, SSD)
        logits, offsets = model.raw(self.fit(images))
        with core_operators():
            found = postprocess(logits, offsets, model.anchors, model.post)
            answers = self.decode(found, torch.ones(1, 1, 4))
        order = torch.tensor(_ORDER)
        return *answers, offsets.index_select(2, order), logits[..., 1:].sigmoid()


class SuppressedAsTensorflow(nn.Module):
    """An SSD whose detections are chosen as that operator does, to compare its files with.

    Two rules differ from :func:`tasks.detection.postprocess.postprocess`: boxes overlap as they
    are decoded, and are cut off at the edges later; and every class of every anchor takes part in
    NMS, not the best ``candidates`` alone.

    Args:
        model: The network, in evaluation mode.
    """

    def __init__(self, model: SSD) -> None:
        super().__init__()
        self.model, self.spec, self.post = model, model.spec, model.post

    def forward(self, squares: Tensor) -> Detections:
        """Detections in squares (B, 3, S, S), RGB 0..255; as many rows as are reported at most."""
        pairs = zip(*self.model.raw(squares), strict=True)
        rows = [self._of_one(logits, offsets) for logits, offsets in pairs]
        return Detections(*(torch.stack(parts) for parts in zip(*rows, strict=True)))

    def _of_one(self, logits: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, scores = decode(offsets, self.model.anchors), logits[:, 1:].sigmoid()
        kept = torch.zeros_like(scores)
        for column in range(scores.shape[1]):
            above = (scores[:, column] > self.post.score_threshold).nonzero()[:, 0]
            best = above[nms(boxes[above], scores[above, column], self.post.nms_iou)]
            kept[best, column] = scores[best, column]
        most = self.post.detections
        final, index = nn.functional.pad(kept.flatten(), (0, most)).topk(most)
        index = index * (final > 0)
        anchor, label = index // scores.shape[1], index % scores.shape[1]
        real = final > 0
        return boxes[anchor].clamp(0, 1) * real[:, None], final, (label + 1) * real


def form_of(model: object) -> TensorflowForm:
    """How a detector becomes a file that ends in TensorFlow's operator.

    Raises:
        InputError: If it chooses regions between two stages, which that operator does not.
    """
    if not isinstance(model, SSD):
        raise InputError(
            "--postprocess tensorflow: is for networks of one stage (SSD); this one chooses "
            "regions between its two. Export it with --postprocess plain"
        )
    anchors = model.anchors.detach().cpu()[:, list(_ORDER)].numpy()
    wx, wy, ww, wh = CODER_WEIGHTS
    post = model.post
    end = PostProcess(
        anchors, (wy, wx, wh, ww), post.score_threshold, post.nms_iou, post.detections
    )
    return TensorflowForm(end, RawSquare, SuppressedAsTensorflow(model).eval())
