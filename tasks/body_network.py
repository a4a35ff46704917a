"""What the networks of all applications have in common: a body, and a head on top of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from backbone.bodies import build_body, default_flavour
from backbone.body import Body
from backbone.cost import Cost, count_cost
from backbone.flavour import Flavour
from backbone.layers import Normalize
from datasets.errors import InputError

if TYPE_CHECKING:
    from tasks.body_spec import ClassifierSpec
    from tasks.distillation.target_source import TeacherTargets

Losses = dict[str, Tensor]


class BodyNetwork(nn.Module):
    """Normalisation, body and head; such a network can share a trunk with others.

    Attributes:
        networks: Names of the methods that only run the network, which ``--compile`` compiles.
        normalize: Layer from RGB 0..255 to the input of the body.
        body: Its own body, or a shared trunk.
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


class LastLayerNetwork(BodyNetwork):
    """A body with the classifier of its architecture on its last map, whatever its outputs mean.

    Args:
        spec: Architecture.
        columns: Number of outputs of the last layer.
        flavour: Conventions; None means the body's default. Its input size is replaced by the
            spec's.
        loss: Training objective; by default that of ``objective``.

    Attributes:
        objective: Dataclass of training objectives, with the ``dropout`` before the last layer.
        last_stride: Stride of the map that the head takes.

    Raises:
        InputError: If there is no output, or the body cannot be built.
    """

    objective: type[Any]

    def __init__(
        self,
        spec: ClassifierSpec,
        columns: int,
        flavour: Flavour | None = None,
        loss: Any = None,
    ) -> None:
        super().__init__()
        if columns < 1:
            raise InputError(f"{columns} classes: a classifier needs at least one")
        flavour = (flavour or default_flavour(spec.backbone)).sized(spec.size)
        self.spec, self.columns, self.loss = spec, columns, loss or self.objective()
        self.normalize = Normalize(flavour.input)
        self.body = body_of(spec, flavour)
        if spec.size < self.body.min_size:
            raise InputError(
                f"--size {spec.size} is too small for {spec.backbone}: {self.body.min_size} "
                "pixels or more"
            )
        self.head = self.body.make_classifier(columns, self.loss.dropout)
        self.last_stride = max(self.body.channels)

    def from_features(self, features: dict[int, Tensor]) -> Tensor:
        """Raw outputs (B, columns) from features of the body, by stride."""
        raw: Tensor = self.head(features[self.last_stride])
        return raw

    def forward(
        self, images: Tensor, targets: Any = None, taught: TeacherTargets | None = None
    ) -> Losses | Tensor:
        """Losses in training, answers (B, columns) in evaluation.

        Args:
            images: (B, 3, S, S) RGB 0..255.
            targets: Targets as :meth:`losses` takes them; required in training.
            taught: Targets from a teacher.
        """
        if not self.training:
            return self.answers(self.raw(images))
        assert targets is not None, "training needs targets"
        return self.losses(images, targets, taught)

    def answers(self, raw: Tensor) -> Tensor:
        """Answers from raw outputs: by default the raw outputs themselves."""
        return raw

    def losses(self, images: Tensor, targets: Any, taught: TeacherTargets | None) -> Losses:
        """Losses by name, including the teacher's if there is one."""
        raise NotImplementedError


def raw_cost(make: Callable[[], Any], size: int) -> Cost:
    """Mult-adds and parameters of a network's raw outputs for one image.

    They are counted without memory or arithmetic.

    Args:
        make: Function that builds the network.
        size: Side of the image in pixels.
    """
    with torch.device("meta"):
        model = make()
    return count_cost(model, (1, 3, size, size), lambda m, x: m.raw(x))


def body_of(spec: ClassifierSpec, flavour: Flavour) -> Body:
    """A fresh body of an architecture. Raises InputError if it cannot be built."""
    return build_body(
        spec.backbone,
        alpha=spec.alpha,
        variant=spec.variant,
        stem_stride=spec.stem_stride,
        flavour=flavour,
    )
