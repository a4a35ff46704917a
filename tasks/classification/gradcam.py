"""Grad-CAM (Selvaraju et al., arXiv 1610.02391): which parts of an image a classifier uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from datasets.images import Image
from datasets.types import ClassMap
from tasks.body_network import LastLayerNetwork
from tasks.classification.evaluator import columns_in
from tasks.predictor import Model

# From an image (H, W, 3) RGB, and a class of the data that the model knows, to a square of 224
# pixels or more: what the network saw, coloured where it supports the class.
Explain = Callable[[Image, int], Image]
# Opacity of the hottest spot.
_COVER = 0.7
_SIDE = 224


def grad_cam(model: LastLayerNetwork, images: Tensor, columns: Tensor | None = None) -> Tensor:
    """The parts of each image that support a class.

    The channels of the last map are added, each weighted by how much it raises the class's logit;
    negative values are cut off (equations 1 and 2). Neither gradients nor statistics of the model
    change.

    Args:
        model: Model in evaluation mode, on the images' device.
        images: (B, 3, H, W) RGB 0..255.
        columns: (B,) class of each image; None means the predicted one.

    Returns:
        (B, H, W) float32: 1 at each image's hottest spot, 0 where nothing supports the class.
    """
    assert not model.training, "Grad-CAM needs evaluation mode"
    with torch.no_grad():
        features = model.body(model.normalize(images))[model.last_stride]
    with torch.inference_mode(False), torch.enable_grad():
        features = features.detach().clone().requires_grad_()
        logits: Tensor = model.head(features)
        chosen = logits.argmax(dim=1) if columns is None else columns
        total = logits.gather(1, chosen[:, None]).sum()
        (gradients,) = torch.autograd.grad(total, features)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * features.detach()).sum(dim=1, keepdim=True).relu().float()
    size = (images.shape[-2], images.shape[-1])
    heat = functional.interpolate(heat, size, mode="bilinear", align_corners=False)[:, 0]
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def overlay(image: Image, heat: NDArray[np.float32]) -> Image:
    """A copy of the image, coloured by heat: from clear blue to opaque red.

    Args:
        image: Image (H, W, 3) RGB.
        heat: (h, w) in 0..1, which is stretched over the image.
    """
    height, width = image.shape[:2]
    stretched = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    level = np.clip(stretched * 255, 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1]
    # Cold parts show the image.
    share = (_COVER * stretched.clip(0, 1))[..., None]
    return np.asarray(image * (1 - share) + colours * share).round().astype(np.uint8)


def explainer(
    model: LastLayerNetwork,
    device: str,
    fit: Callable[[Image], Image],
    columns: NDArray[np.int64] | None = None,
) -> Explain:
    """A function that shows what supports a class in images of any size.

    Args:
        model: Model in evaluation mode, on its device.
        device: The device.
        fit: Function that makes an image the model's square input.
        columns: Columns from :func:`~tasks.classification.evaluator.columns_in`.
    """

    def explain(image: Image, column: int) -> Image:
        seen = fit(image)
        batch = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))[None]
        own = column if columns is None else int(np.flatnonzero(columns == column)[-1])
        heat = grad_cam(model, batch.to(device), torch.tensor([own], device=device))
        side = max(_SIDE, seen.shape[0])
        large = cv2.resize(seen, (side, side), interpolation=cv2.INTER_CUBIC)
        return overlay(np.asarray(large, dtype=np.uint8), heat[0].cpu().numpy())

    return explain


def explainer_of(model: Model, device: str, classes: ClassMap) -> Explain | None:
    """The same for an opened model and the classes of some data.

    It is None for an export or original file, which provides no gradients.
    """
    if model.network is None or model.original:
        return None
    network: Any = model.network
    square = model.application.network().view.square(model.card)
    return explainer(network, device, square, columns_in(model.card.classes, classes))
