"""One trunk under the models of several tasks: one pass through it answers all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from backbone.body import Body
from datasets.errors import InputError
from tasks.body_network import BodyNetwork
from tasks.multitask.balance import Balance


class MultiTaskNet(nn.Module):
    """A trunk, and the model of each task, which uses it instead of a body of its own.

    Each head is the complete model of its task: all code that loads, trains, evaluates, folds or
    exports such a model can use it from here. With batch norm per task, a head has its own body
    whose convolutions are the trunk's and whose norms are not.

    Args:
        body: The trunk. Its norms are used by the heads that have none of their own.
        heads: Models by name, with the trunk's architecture; their bodies are replaced.
        own_norms: Names of the heads that keep the norms of their bodies.
        balance: Balance of the losses; only training needs it.

    Attributes:
        networks: Names of the methods that ``--compile`` compiles: none.
    """

    networks: tuple[str, ...] = ()

    def __init__(
        self,
        body: Body,
        heads: Mapping[str, BodyNetwork],
        own_norms: Collection[str] = (),
        balance: Balance | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.own_norms = frozenset(own_norms)
        for name, model in heads.items():
            if name in self.own_norms:
                share_convolutions(model.body, body)
            else:
                model.body = body
        self.heads = nn.ModuleDict(dict(heads))
        self.balance = balance
        if heads and self.own_norms >= heads.keys():  # Nobody uses those of the trunk.
            for module in body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.requires_grad_(False)

    def head(self, name: str) -> BodyNetwork:
        """The model of a task."""
        return cast("BodyNetwork", self.heads[name])

    @property
    def sizes(self) -> dict[int, list[str]]:
        """Side of the input in pixels, and the heads that take it, in their order."""
        found: dict[int, list[str]] = {}
        for name in self.heads:
            found.setdefault(self.head(name).spec.size, []).append(name)
        return found

    def answers(self, images: Tensor, heads: Sequence[str] | None = None) -> dict[str, Any]:
        """The raw outputs of every head with this input size, with one pass through the trunk.

        Heads with their own norms need a separate pass each.

        Args:
            images: (B, 3, S, S) RGB 0..255 of any dtype.
            heads: Names of the heads to run; by default all that take images of this size.

        Returns:
            Result of each model's ``raw`` by head: (B, columns), or two tensors for boxes.

        Raises:
            InputError: If no head takes images of this size.
        """
        size = images.shape[-1]
        if size not in self.sizes:
            taken = ", ".join(f"{side} ({', '.join(who)})" for side, who in self.sizes.items())
            raise InputError(f"images of {size} pixels: the heads take {taken}")
        found: dict[str, Any] = {}
        shared: dict[int, Tensor] | None = None
        for name in heads or self.sizes[size]:
            model = self.head(name)
            if name in self.own_norms:
                features = model.body(model.normalize(images))
            else:
                if shared is None:
                    shared = self.body(model.normalize(images))
                features = shared
            found[name] = model.from_features(features)
        return found

    def forward(self, images: Tensor) -> dict[str, Any]:
        """The raw outputs of every head; see :meth:`answers`."""
        return self.answers(images)

    def left_out(self) -> tuple[str, ...]:
        """Prefixes of names in the state dict that only training needs, or that appear twice."""
        names = ["balance."]
        shared = [f"{name}." for name in shared_modules(self.body)]
        for head in self.heads:
            inside = f"heads.{head}."
            names.append(f"{inside}margin_head.")
            twice = shared if head in self.own_norms else [""]
            names += [f"{inside}body.layers.{name}" for name in twice]
        return tuple(names)


def shared_modules(body: Body) -> list[str]:
    """Names, below ``layers``, of the modules that hold weights and are not batch norms."""
    return [
        name
        for name, module in body.layers.named_modules()
        if list(module.parameters(recurse=False)) and not isinstance(module, nn.BatchNorm2d)
    ]


def share_convolutions(body: Body, trunk: Body) -> None:
    """Replace a body's convolutions by those of a trunk; the body keeps its norms.

    Args:
        body: Body with the architecture of the trunk.
        trunk: Trunk, which is not changed.
    """
    for name in shared_modules(trunk):
        body.layers.set_submodule(name, trunk.layers.get_submodule(name))
