"""Where a classifier looks: Grad-CAM (Selvaraju et al., arXiv 1610.02391) on its last map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from datasets.types import ClassMap
from tasks.classification.evaluator import columns_in
from tasks.classification.model import Classifier
from tasks.predictor import Model

Image = NDArray[np.uint8]
# How much of the photo the hottest spot covers.
_COVER = 0.7
_SIDE = 224


def grad_cam(model: Classifier, images: Tensor, columns: Tensor | None = None) -> Tensor:
    """What in each image speaks for a class.

    The channels of the last map are added up, each weighted by how much it raises the class's
    logit; what speaks against it is cut off (equations 1 and 2). Neither gradients nor
    statistics of the model change.

    Args:
        model: In evaluation mode, on the images' device.
        images: (B, 3, H, W) RGB 0..255.
        columns: (B,) class of each image; the predicted one where None.

    Returns:
        (B, H, W) float32: 1 at each image's hottest spot, 0 where nothing speaks for the class.
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
    """A copy of the picture, coloured where it is hot: red and opaque most, blue and clear least.

    Args:
        image: (H, W, 3) RGB.
        heat: (h, w) in 0..1; stretched over the picture.
    """
    height, width = image.shape[:2]
    stretched = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    level = np.clip(stretched * 255, 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1]
    # Cold parts stay a photo.
    share = (_COVER * stretched.clip(0, 1))[..., None]
    return np.asarray(image * (1 - share) + colours * share).round().astype(np.uint8)


class Explainer:
    """Shows what speaks for a class in pictures of any size.

    Args:
        model: In evaluation mode, on its device.
        device: To compute on.
        fit: Brings a picture to the model's square input.
        columns: (C_model,) the data's column of each of the model's, -1 for none. None if both
            have the same classes.
    """

    def __init__(
        self,
        model: Classifier,
        device: str,
        fit: Callable[[Image], Image],
        columns: NDArray[np.int64] | None = None,
    ) -> None:
        self.model, self.device, self.fit = model, device, fit
        self._own = None
        if columns is not None:
            self._own = {int(column): own for own, column in enumerate(columns) if column >= 0}

    def __call__(self, image: Image, column: int) -> Image:
        """What the network saw of a picture, coloured where it speaks for a class.

        Args:
            image: (H, W, 3) RGB.
            column: Of the class, among the data's; the model must know it.

        Returns:
            A square RGB picture of 224 pixels or more.
        """
        seen = self.fit(image)
        batch = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))[None]
        own = column if self._own is None else self._own[column]
        chosen = torch.tensor([own], device=self.device)
        heat = grad_cam(self.model, batch.to(self.device), chosen)[0].cpu().numpy()
        side = max(_SIDE, seen.shape[0])
        large = cv2.resize(seen, (side, side), interpolation=cv2.INTER_CUBIC)
        return overlay(np.asarray(large, dtype=np.uint8), heat)


def explainer_of(model: Model, device: str, classes: ClassMap) -> Explainer | None:
    """What shows where a model sees the classes of some data; None of an export or original.

    Args:
        model: Model that was opened; exports cannot be asked for their gradients.
        device: Where to compute.
        classes: Classes of the data.
    """
    if model.network is None or model.original:
        return None
    network: Any = model.network
    square = model.application.network().view.square(model.card)
    return Explainer(network, device, square, columns_in(model.card.classes, classes))
