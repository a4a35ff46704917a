"""A detector whose end is TensorFlow's own operator, which Android's and MediaPipe's know."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from datasets.errors import InputError
from tasks.application import PhotoApplication
from tasks.detection.anchors import CODER_WEIGHTS
from tasks.detection.ssd import SSD
from tasks.export.litert.detection_postprocess import RAW, PostProcess
from tasks.square_graph import SquareGraph
from tasks.weights.card import Card

# From our order of a box's four numbers, x y w h, to TensorFlow's: y x h w.
_ORDER = (1, 0, 3, 2)


class RawSquare(SquareGraph):
    """An SSD from a square (1, S, S, 3) uint8 RGB to what that operator takes.

    Its outputs are ``offsets`` (1, A, 4) dy dx dh dw and ``scores`` (1, A, C) in 0..1, without
    background. Arguments are those of :class:`SquareGraph`, of a model that passed
    :func:`postprocess_of`.
    """

    def __init__(self, application: PhotoApplication[Any], model: nn.Module, card: Card) -> None:
        super().__init__(application, model, card)
        self.outputs = RAW

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Raw outputs for one square."""
        assert isinstance(self.model, SSD)
        logits, offsets = self.model.raw(self.fit(images))
        order = torch.tensor(_ORDER)
        return offsets.index_select(2, order), logits[..., 1:].sigmoid()


def postprocess_of(model: object) -> PostProcess:
    """How raw outputs of a detector become detections.

    Raises:
        InputError: If it chooses regions between two stages, which that operator does not.
    """
    if not isinstance(model, SSD):
        raise InputError(
            "--detections tensorflow: is for networks of one stage (SSD); this one chooses "
            "regions between its two. Export it with --detections plain"
        )
    anchors = model.anchors.detach().cpu()[:, list(_ORDER)].numpy()
    wx, wy, ww, wh = CODER_WEIGHTS
    post = model.post
    return PostProcess(
        anchors, (wy, wx, wh, ww), post.score_threshold, post.nms_iou, post.detections
    )
