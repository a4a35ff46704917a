"""Crops of a feature map under boxes: one bilinear sample per bin, at its centre."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align


def crop(
    feature: Tensor, boxes: Tensor, images: Tensor, size: int, extent: float | None = None
) -> Tensor:
    """Sample the map once at the centre of each of size x size bins of a box, bilinearly.

    The same as torchvision's ``roi_align(sampling_ratio=1, aligned=True)``, whose gradient takes
    many times as long on CPUs (``make benchmark`` says how many): there it goes pixel by pixel,
    here by whole rows of channels.

    Args:
        feature: (B, C, H, W), H and W from 2 up.
        boxes: (K, 4) relative x1 y1 x2 y2.
        images: (K,) int64, which image a box belongs to.
        size: Bins along each side.
        extent: How many cells would span the image, if not the map's own (see
            :func:`~tasks.detection.anchors.make_anchors`).

    Returns:
        (K, C, size, size), channels last in memory, in float32.
    """
    if torch.compiler.is_exporting():  # ONNX has an operator for the other one.
        side = torch.tensor([extent or one for one in feature.shape[:1:-1]] * 2)
        placed = torch.cat((images[:, None].to(boxes.dtype), boxes * side), dim=1)
        cut: Tensor = roi_align(feature.float(), placed, size, sampling_ratio=1, aligned=True)
        return cut
    count, channels, height, width = feature.shape
    left, across = _places(boxes[:, 0], boxes[:, 2], size, width, extent)
    top, down = _places(boxes[:, 1], boxes[:, 3], size, height, extent)
    corner = (images[:, None] * height + top)[:, :, None] * width + left[:, None, :]
    index = torch.stack((corner, corner + 1, corner + width, corner + width + 1), dim=-1)
    rows = torch.stack((1 - down, down), dim=-1)[:, :, None, :, None]
    columns = torch.stack((1 - across, across), dim=-1)[:, None, :, None, :]
    weights = (rows * columns).reshape(-1, 4)
    table = feature.float().permute(0, 2, 3, 1).reshape(count * height * width, channels)
    out = functional.embedding_bag(
        index.reshape(-1, 4), table, mode="sum", per_sample_weights=weights
    )
    return out.view(-1, size, size, channels).permute(0, 3, 1, 2)


def _places(
    low: Tensor, high: Tensor, size: int, cells: int, extent: float | None
) -> tuple[Tensor, Tensor]:
    """Per bin the cell before its centre (K, size) int64, and how far beyond it lies, 0..1."""
    steps = (torch.arange(size, device=low.device, dtype=low.dtype) + 0.5) / size
    centres = low[:, None] + (high - low)[:, None] * steps
    places = (centres * (extent or cells) - 0.5).clamp(0, cells - 1)
    before = places.floor().clamp(max=cells - 2)
    return before.long(), places - before
