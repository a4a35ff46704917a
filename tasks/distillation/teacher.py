"""A teacher of any kind, frozen, and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from datasets.errors import InputError

# Digest of a network's tensors; for a plain function, its answers to fixed images.
Fingerprint = str | list[float]
_PROBES = 2
_ANSWERS = 1024  # Of each image.
# Largest difference between answers of the same function on two machines or with another number of
# threads: shares of their spread, and of their size, to which half precision rounds.
_OF_SPREAD, _OF_SIZE = 0.02, 0.004


class Teacher:
    """Logits of the data's classes from a frozen network.

    It is not a module, so that nothing of it gets into a student's weights, checkpoints, averages
    or switches between training and evaluation.

    Args:
        name: Name for messages and reports.
        network: Function from RGB images (B, 3, S, S), 0..255, uint8 or float, to logits (B, K). A
            module is put into evaluation mode and frozen.
        size: Side in pixels to which images are resized for the network; None leaves them as they
            are.
        columns: (C,) the network's output for each of the data's classes; None if K is C and the
            order is the same.
    """

    def __init__(
        self,
        name: str,
        network: Callable[[Tensor], Tensor],
        *,
        size: int | None = None,
        columns: Tensor | None = None,
    ) -> None:
        self.name, self.size, self.columns = name, size, columns
        self.device = "cpu"
        self._network = self._run = network
        if isinstance(network, nn.Module):
            network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (B, C) float32 of images (B, 3, S, S) as a student sees them.

        They are resized to the network's own side, with antialiasing.
        """
        logits = self._answers(images)
        # A copy made outside of inference mode can be part of a loss.
        return (logits if self.columns is None else logits[:, self.columns]).float().clone()

    @torch.inference_mode()
    def _answers(self, images: Tensor) -> Tensor:
        """The network's answers, in its own columns."""
        if self.size is not None and images.shape[-1] != self.size:
            images = functional.interpolate(
                images.float(), size=self.size, mode="bilinear", antialias=True
            )
        return self._run(images)

    def to(self, device: str) -> Teacher:
        """Answer on another device; a plain function has to choose its own."""
        self.device = device
        if isinstance(self._network, nn.Module):
            self._network.to(device)
        if self.columns is not None:
            self.columns = self.columns.to(device)
        return self

    def compile(self) -> None:
        """Compile the network."""
        self._run = torch.compile(self._network)

    def check(self, num_classes: int, size: int) -> None:
        """Check that it gives a finite logit for each class. Raises InputError if it does not."""
        try:
            answers: Any = self._answers(self._pictures(size))
        except Exception as error:  # Anything may happen in code that is not ours.
            kind = type(error).__name__
            raise InputError(f"--teacher {self.name}: fails on images: {kind}: {error}") from error
        if not isinstance(answers, Tensor):
            raise InputError(f"--teacher {self.name}: gives {type(answers).__name__}, no tensor")
        given, wanted = tuple(answers.shape), (_PROBES, num_classes)
        if self.columns is None and given != wanted:
            raise InputError(
                f"--teacher {self.name}: answers {given} to {_PROBES} images of {num_classes} "
                f"classes; {wanted} is needed"
            )
        if not answers.isfinite().all():
            raise InputError(f"--teacher {self.name}: its logits are not finite numbers")

    def fingerprint(self, size: int, *, softmax: bool = True) -> Fingerprint:
        """Identification of this teacher in its present state.

        Args:
            size: Side of the student's images.
            softmax: Whether answers are of exclusive classes, so that a number added to all of
                them changes nothing.
        """
        if not isinstance(self._network, nn.Module):
            answers = self(self._pictures(size))
            answers = answers.log_softmax(dim=1) if softmax else answers
            some = answers[:, :: -(-answers.shape[1] // _ANSWERS)]
            return [float(f"{value:.5g}") for value in some.flatten().tolist()]
        columns = None if self.columns is None else self.columns.tolist()
        digest = hashlib.sha256(repr((self.size, columns)).encode())
        tensors = (*self._network.named_parameters(), *self._network.named_buffers())
        for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
            plain = tensor.detach().cpu().contiguous().view(-1)
            digest.update(f"{name} {plain.dtype} {tuple(tensor.shape)}".encode())
            digest.update(plain.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _pictures(self, size: int) -> Tensor:
        """Fixed noise images (2, 3, size, size)."""
        generator = torch.Generator().manual_seed(0)
        shape = (_PROBES, 3, size, size)
        pictures = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return pictures.to(self.device)


def is_same(one: Fingerprint | None, other: Fingerprint | None) -> bool:
    """Whether two fingerprints belong to the same teacher."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        saved = np.array(one)
        limit = _OF_SPREAD * saved.std() + _OF_SIZE * np.sqrt(np.square(saved).mean())
        return bool(np.abs(saved - other).max() <= limit)
    return one == other
