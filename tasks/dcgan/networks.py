"""DCGAN's two networks (Radford et al., arXiv 1511.06434), conditioned on the class."""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from tasks.dcgan.spec import GanSpec

_FIRST_SIDE = 4
_SLOPE = 0.2
_INIT_STD = 0.02


class ClassNorm(nn.Module):
    """Batch norm with a scale and an offset per class (Dumoulin et al., arXiv 1610.07629)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(num_classes, channels)
        self.offset = nn.Embedding(num_classes, channels)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Normalise (B, C, H, W), each image for its class of ``labels`` (B,)."""
        normal: Tensor = self.norm(x)
        scale: Tensor = self.scale(labels)[..., None, None]
        offset: Tensor = self.offset(labels)[..., None, None]
        return normal * scale.to(x.dtype) + offset.to(x.dtype)


class Generator(nn.Module):
    """Maps random numbers and a class to an image, by transposed convolutions."""

    def __init__(self, spec: GanSpec, num_classes: int) -> None:
        super().__init__()
        self.spec, self.num_classes = spec, num_classes
        channels = spec.channels
        self.first = nn.Linear(spec.latent, channels[0] * _FIRST_SIDE**2, bias=False)
        self.norms = nn.ModuleList(ClassNorm(count, num_classes) for count in channels)
        lasts = [False] * (len(channels) - 1) + [True]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(here, there, 4, stride=2, padding=1, bias=last)
            for here, there, last in zip(channels, (*channels[1:], 3), lasts, strict=True)
        )
        self.apply(_initialise)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (B, 3, S, S) float32 in -1..1 of numbers (B, latent) and classes (B,)."""
        x: Tensor = self.first(latents).view(len(latents), -1, _FIRST_SIDE, _FIRST_SIDE)
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = up(norm(x, labels).relu())
        return x.float().tanh()


class Discriminator(nn.Module):
    """Rates how real an image looks for its class: a projection discriminator (arXiv 1802.05637).

    ``normalised`` keeps each layer at spectral norm 1 (arXiv 1802.05957).
    """

    def __init__(self, spec: GanSpec, num_classes: int, *, normalised: bool) -> None:
        super().__init__()
        channels = (3, *reversed(spec.channels))
        self.downs = nn.ModuleList(
            nn.Conv2d(here, there, 4, stride=2, padding=1)
            for here, there in itertools.pairwise(channels)
        )
        self.last = nn.Linear(channels[-1], 1)
        self.of_class = nn.Embedding(num_classes, channels[-1])
        self.apply(_initialise)
        nn.init.normal_(self.of_class.weight, std=_INIT_STD)
        if normalised:
            for layer in (*self.downs, self.last, self.of_class):
                spectral_norm(layer)

    def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """Logits (B,) float32 of images (B, 3, S, S) in -1..1; above 0 means real."""
        x = pictures
        for down in self.downs:
            x = functional.leaky_relu(down(x), _SLOPE)
        with torch.autocast(x.device.type, enabled=False):
            pooled = x.float().sum(dim=(2, 3))
            alike = (pooled * self.of_class(labels)).sum(dim=1)
            return cast("Tensor", self.last(pooled)[:, 0] + alike)


def to_bytes(pictures: Tensor) -> Tensor:
    """Images in -1..1 as uint8 0..255."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_bytes(pictures: Tensor) -> Tensor:
    """Images of 0..255 as float32 in -1..1."""
    return pictures.float() / 127.5 - 1


def _initialise(module: nn.Module) -> None:
    """Initialise as in DCGAN: normal, standard deviation .02; all classes start equal."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=_INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ClassNorm):
        nn.init.ones_(module.scale.weight)
        nn.init.zeros_(module.offset.weight)
