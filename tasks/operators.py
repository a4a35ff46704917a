"""Operators that torch does not have, or that exporters do not support.

Each also runs in torch, so that what is exported can be tried without a runtime;
:mod:`tasks.export.translations` defines what replaces it in an export.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms


@torch.library.custom_op("mobilenets::resize", mutates_args=())
def resize(images: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """Antialiased resize of images (N, H, W, 3) uint8 to (N, height, width, 3), as in Pillow."""
    planes = images.permute(0, 3, 1, 2)
    done = functional.interpolate(
        planes, size=(height, width), mode=interpolation, antialias=True, align_corners=False
    )
    return done.permute(0, 2, 3, 1).contiguous()


@resize.register_fake
def _resize_shape(images: Tensor, height: int, width: int, _interpolation: str) -> Tensor:
    return images.new_empty((images.shape[0], height, width, 3))


# A separate operator, because the groups that hold the best are as many as an image makes them.
@torch.library.custom_op("mobilenets::best_of", mutates_args=())
def best_of(
    values: Tensor,
    number: int,
    group: int,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    """The largest values of (B, N), largest first, and their places (B, number) int64.

    Of equal values the first comes first. In an export only the groups of neighbours that hold the
    best are sorted.

    Args:
        values: (B, N).
        number: How many, at most N / group.
        group: Size of the groups; it divides N.
    """
    best, places = values.sort(dim=1, descending=True, stable=True)
    return best[:, :number].clone(), places[:, :number].clone()


@best_of.register_fake
def _best_shape(values: Tensor, number: int, _group: int) -> tuple[Tensor, Tensor]:
    shape = (values.shape[0], number)
    return values.new_empty(shape), values.new_empty(shape, dtype=torch.int64)


# How many times the wanted number of boxes NMS looks at before it looks at all.
_FIRST = 3


# A separate operator, because exporters cannot follow its loop: they write ONNX's instead.
@torch.library.custom_op("mobilenets::suppress", mutates_args=())
def suppress(boxes: Tensor, scores: Tensor, above: float, max_iou: float, most: int) -> Tensor:
    """Mask (B, K) of the best boxes that survive NMS.

    Args:
        boxes: (B, K, 4) x1 y1 x2 y2.
        scores: (B, K), best first.
        above: Score above which boxes take part.
        max_iou: Highest permitted IoU; of two boxes that overlap by more, the weaker is dropped.
        most: Number of survivors after which the search ends.
    """
    masks = []
    for box, score in zip(boxes, scores, strict=True):
        # The best come first, so those above the threshold are a prefix.
        number = int((score > above).sum())
        mask = torch.zeros_like(score, dtype=torch.bool)
        # Whether a box survives depends on better ones alone: a short search often finds enough.
        for end in sorted({min(_FIRST * most, number), number}):
            kept = nms(box[:end], score[:end], max_iou)
            if len(kept) >= most:
                break
        mask[kept[:most]] = True
        masks.append(mask)
    return torch.stack(masks)


@suppress.register_fake
def _suppress_shape(
    _boxes: Tensor, scores: Tensor, _above: float, _max_iou: float, _most: int
) -> Tensor:
    return scores.new_empty(scores.shape, dtype=torch.bool)
