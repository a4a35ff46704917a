"""From an image of any size to a network's square, inside a graph: as Pillow or OpenCV resize it.

Runtimes resize each in their own way; so the two ways that models are trained and evaluated with
are written out here, down to the rounding. Sizes of images are symbols in a graph, never numbers.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from backbone.flavour import Interpolation
from tasks import operators

# How the antialiased resize is written: as ONNX's operator, or as two matrix products, which take
# two to five times as long but mean the same in every runtime.
Antialias = Literal["operator", "products"]
# Fill of an image that keeps its shape, and fixed-point steps of a weight: OpenCV's.
_FILL = (124, 116, 104)
_STEPS = 2048.0
# Free parameter of Pillow's cubic filter (Keys).
_CUBIC = -0.5


class CentreSquare(nn.Module):
    """Pillow's antialiased resize of the short side, and its centre cut out.

    The same as ``datasets.squares.centre_square``: the horizontal pass first, each
    rounded to whole levels. A sum that ends in a half is rounded either way by Pillow's fixed
    point: that is rare, but for sides in a simple ratio (2 to 3) one pixel in four is a level off.

    Args:
        size: Side of the result in pixels.
        crop: Share of the resized short side that the centre keeps.
        interpolation: Interpolation of the resize.
        antialias: How it is written.
    """

    def __init__(
        self, size: int, crop: float, interpolation: Interpolation, antialias: Antialias
    ) -> None:
        super().__init__()
        self.size, self.short = size, round(size / crop)
        self.interpolation: Interpolation = interpolation
        self.antialias: Antialias = antialias

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, size, size) of whole numbers, 0..255, uint8 or float32."""
        short = torch.sym_min(images.shape[1], images.shape[2])
        sides = [side * self.short // short for side in images.shape[1:3]]
        if self.antialias == "operator":
            resized: Tensor = operators.resize(images, sides[0], sides[1], self.interpolation)
            for axis, side in enumerate(sides, start=1):
                rows = _first(side, self.size) + torch.arange(self.size)
                resized = resized.index_select(axis, rows)
            return resized.permute(0, 3, 1, 2)
        down, across = (
            self._weights(length, side)
            for length, side in zip(images.shape[1:3], sides, strict=True)
        )
        pixels = images.permute(0, 3, 1, 2).float()
        return _whole(down @ _whole(pixels @ across.T))

    def _weights(self, length: int | torch.SymInt, side: int | torch.SymInt) -> Tensor:
        """(size, length) shares of an axis's pixels in the result's."""
        scale = _number(length) / _number(side)
        places = ((_first(side, self.size) + torch.arange(self.size)).double() + 0.5) * scale
        # Distances between pixels are small numbers, exact in float32 however large the image.
        whole = places.floor()
        pixels = torch.arange(length)[None] - whole[:, None].long()
        apart = pixels.float() + (0.5 - (places - whole)).float()[:, None]
        far = (apart / scale.clamp(min=1).float()).abs()
        shares = (1 - far).clamp(min=0) if self.interpolation == "bilinear" else _keys(far)
        return shares / shares.sum(1, keepdim=True)


def _first(side: int | torch.SymInt, size: int) -> Tensor:
    """Where the centre begins: half of what is too much, halves rounded to even numbers."""
    return ((_number(side) - size) / 2).round().long()


def _number(value: int | torch.SymInt) -> Tensor:
    """A length, which may be a symbol, as a tensor without axes."""
    return torch.scalar_tensor(value, dtype=torch.float64)


def _whole(pixels: Tensor) -> Tensor:
    return (pixels + 0.5).floor().clamp(0, 255)


def _keys(far: Tensor) -> Tensor:
    """Keys' cubic of distances from 0 up."""
    near = ((_CUBIC + 2) * far - (_CUBIC + 3)) * far * far + 1
    beyond = ((far - 5) * far + 8) * far * _CUBIC - 4 * _CUBIC
    return torch.where(far < 1, near, torch.where(far < 2, beyond, 0.0))


class WarpedSquare(nn.Module):
    """OpenCV's bilinear resize of the whole image, without antialiasing, level for level.

    The same as ``datasets.squares.fit_square``.

    Args:
        size: Side of the result in pixels.
        keep_aspect: Scale the longer side to it and fill up at the right or bottom.
    """

    fill: Tensor

    def __init__(self, size: int, keep_aspect: bool) -> None:
        super().__init__()
        self.size, self.keep_aspect = size, keep_aspect
        fill = torch.tensor(_FILL, dtype=torch.float32).view(1, 1, 3, 1)
        self.register_buffer("fill", fill, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, size, size) float32 of whole numbers, 0..255."""
        height, width = (_number(length) for length in images.shape[1:3])
        sides = [torch.scalar_tensor(self.size, dtype=torch.float64)] * 2
        if self.keep_aspect:
            scale = self.size / torch.maximum(height, width)
            sides = [(length * scale).round().clamp(min=1) for length in (height, width)]
        top, bottom, upper, lower = self._places(height, sides[0], border=False)
        left, right, before, after = self._places(width, sides[1], border=True)
        # Columns come first from here on: runtimes copy a few long rows faster than many pixels.
        rows = images.index_select(1, torch.cat((top, bottom))).permute(0, 2, 3, 1)
        one, two = (rows.index_select(1, columns).float() for columns in (left, right))
        # Sums of 11-bit weights, of which OpenCV drops low bits before and after the second pass.
        across = ((one * _column(before / 16)) + (two * _column(after / 16))).floor()
        down = _high(across, torch.cat((upper, lower)))
        # Products, because runtimes divide far slower; the powers of two make them the same.
        pixels = ((down[..., : self.size] + down[..., self.size :] + 2) * (1 / 4)).floor()
        if self.keep_aspect:
            here = torch.arange(self.size)
            inside = _column(here < sides[1]) & (here < sides[0])
            pixels = torch.where(inside, pixels, self.fill)
        return pixels.permute(0, 2, 3, 1)

    def _places(
        self, length: Tensor, side: Tensor, *, border: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each pixel of the result the two of an axis it lies between, and their weights.

        With ``border`` pixels beyond the outermost centres take these alone, which OpenCV does in
        the horizontal pass; in the vertical one it mixes them with themselves.
        """
        centres = torch.arange(self.size, dtype=torch.float64) + 0.5
        places = (centres * (1 / (side / length)) - 0.5).float()
        first = places.floor()
        beyond = places - first
        if border:
            inside = (first >= 0) & (first < length - 1)
            beyond = torch.where(inside, beyond, 0.0)
        low = torch.minimum(first.clamp(min=0).double(), length - 1).long()
        high = torch.minimum((first + 1).clamp(min=0).double(), length - 1).long()
        return low, high, ((1 - beyond) * _STEPS).round(), (beyond * _STEPS).round()


def _column(values: Tensor) -> Tensor:
    """(S,) along the columns of (N, S, 3, rows)."""
    return values[:, None, None]


def _high(values: Tensor, weights: Tensor) -> Tensor:
    """OpenCV's products of two 16-bit numbers without their lower 16 bits, exact in float32.

    Values are whole numbers up to 32640, weights up to 2048: their upper and lower 6 bits are
    taken in turn.
    """
    upper = (weights / 64).floor()
    lower = weights / 64 - upper
    return ((values * upper + (values * lower).floor()) * (1 / 1024)).floor()
