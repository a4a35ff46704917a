"""Whether the game still goes on: when it does not, the training stops and says why."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Of the loss of a discriminator that cannot tell: below, it has nothing more to learn.
_SATURATED = 0.05
# Of the real photos' variety: below, the pictures of a class are all alike.
_COLLAPSED = 0.05


class Window(NamedTuple):
    """Means over some steps.

    Attributes:
        d_real: The discriminator's probability that real photos are real, 0..1.
        d_fake: The same of generated pictures.
        loss_d: Its loss, without R1.
        loss_g: The generator's.
        variety: How much generated pictures of one class differ, of how much real photos do.
    """

    d_real: float
    d_fake: float
    loss_d: float
    loss_g: float
    variety: float


class Watch:
    """Counts for how long the game has been decided.

    Args:
        patience: Steps for which it may be; 0 never stops.
        undecided: The discriminator's loss when it cannot tell.
    """

    def __init__(self, patience: int, undecided: float) -> None:
        self.patience, self.undecided = patience, undecided
        self.saturated = self.collapsed = 0

    def look(self, window: Window, steps: int) -> str:
        """Take note of a window; gives why to stop, or nothing to go on."""
        sure = window.loss_d < _SATURATED * self.undecided
        self.saturated = self.saturated + steps if sure else 0
        alike = window.variety < _COLLAPSED
        self.collapsed = self.collapsed + steps if alike else 0
        if self.patience and self.saturated >= self.patience:
            return (
                f"the discriminator is saturated: for {self.saturated} steps its loss has been "
                f"under {_SATURATED:.0%} of that of guessing ({window.loss_d:.3f} of "
                f"{self.undecided:.3f}; D(real) {window.d_real:.3f}, D(fake) "
                f"{window.d_fake:.3f}), and the generator learns nothing from it. Lower "
                "--lr-discriminator, keep --spectral-norm, add --r1 1, or give --diff-augment all "
                "three"
            )
        if self.patience and self.collapsed >= self.patience:
            return (
                f"the generator has collapsed: for {self.collapsed} steps its pictures of one "
                f"class have differed {window.variety:.1%} as much as photos do. Lower "
                "--lr-generator, or raise --batch-size"
            )
        return ""

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint keeps of this."""
        return {"saturated": self.saturated, "collapsed": self.collapsed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on counting."""
        self.saturated, self.collapsed = state["saturated"], state["collapsed"]


def variety(fakes: Tensor, photos: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """How much pictures of one class differ from each other, of how much photos do: about 0..1.

    It is the ratio of the root mean squared distances from the class's mean picture; 1 where no
    class has two pictures, so that nothing can be said. Both lots are (B, 3, S, S), labels (B,).
    """
    shares = functional.one_hot(labels, num_classes).float()
    counts = shares.sum(dim=0)
    if int(counts.max()) < 2:
        return torch.ones(())

    def spread(pictures: Tensor) -> Tensor:
        flat = pictures.detach().float().flatten(1)
        means = (shares.T @ flat) / counts.clamp(min=1)[:, None]
        return (flat - means[labels]).square().mean().sqrt()

    return spread(fakes) / spread(photos).clamp(min=1e-6)
