"""What networks of all applications have in common: a body, and something on top of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from backbone.body import Body


class BodyNetwork(nn.Module):
    """Normalisation, body and head; such a network can stand on a trunk that it shares.

    Attributes:
        networks: Names of the methods that are network alone, which ``--compile`` compiles.
        normalize: From RGB 0..255 to what the body takes.
        body: Its own body, or a trunk.
        spec: Its architecture, with ``size``, the side of its input in pixels.
    """

    networks: tuple[str, ...] = ("raw",)
    normalize: nn.Module
    body: Body
    spec: Any

    def raw(self, images: Tensor) -> Any:
        """Raw outputs for images (B, 3, S, S), RGB 0..255 of any dtype."""
        return self.from_features(self.body(self.normalize(images)))

    def from_features(self, features: dict[int, Tensor]) -> Any:
        """Raw outputs from features of the body, by stride."""
        raise NotImplementedError
