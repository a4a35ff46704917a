"""How an image becomes a network's square, equally outside of a graph and inside one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from tasks.export.resize import Antialias, CentreSquare, WarpedSquare
from tasks.runtime.square import Square
from tasks.weights.card import Card


@dataclass(frozen=True)
class View:
    """One of the two ways.

    Attributes:
        square: Function from a card to a function that makes an image (H, W, 3) the square (S, S,
            3), uint8.
        layer: Function from a card, and the form of an antialiased resize, to the same as a layer:
            images (N, H, W, 3) uint8 to squares (N, 3, S, S).
        short_side: Function from a card to the short side in pixels of images that are only
            cropped, not resized; None if that does not make the two ways exactly equal.
    """

    square: Callable[[Card], Square]
    layer: Callable[[Card, Antialias], nn.Module]
    short_side: Callable[[Card], int | None]


def _centre_square(card: Card) -> Square:
    seen = card.flavour.input
    return Square(seen.size, "centre", seen.crop, seen.interpolation)


def _centre_layer(card: Card, antialias: Antialias) -> nn.Module:
    seen = card.flavour.input
    return CentreSquare(seen.size, seen.crop, seen.interpolation, antialias)


def _whole_square(card: Card) -> Square:
    return Square(card.flavour.input.size, "whole", keep_aspect=bool(card.model["keep_aspect"]))


def _whole_layer(card: Card, _antialias: Antialias) -> nn.Module:
    seen = _whole_square(card)
    return WarpedSquare(seen.size, seen.keep_aspect)


CENTRE = View(
    _centre_square,
    _centre_layer,
    lambda card: round(card.flavour.input.size / card.flavour.input.crop),
)
"""The antialiased centre of the image, as for classifiers."""

WHOLE = View(_whole_square, _whole_layer, lambda _: None)
"""The whole image, stretched or padded according to the card's ``keep_aspect``."""
