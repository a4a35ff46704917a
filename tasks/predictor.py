"""A model that gives answers: images in, named outputs and answers out, for networks and exports.

:mod:`tasks.open_model` opens a model of any application; here the application is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from datasets.errors import InputError
from datasets.images import Image
from datasets.types import PhotoBatch
from tasks.application import PhotoApplication
from tasks.runtime.exported import Exported, without_padding
from tasks.runtime.open import is_export, read_card
from tasks.runtime.session import Answer as Outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.weights.card import Card

Batch = TypeVar("Batch", bound=Mapping[str, object])


@dataclass(frozen=True)
class Predictor:
    """Named outputs for images (H, W, 3) uint8 RGB of any sizes, and their presentation."""

    outputs: Callable[[Sequence[Image]], list[Outputs]]
    answers: Any

    def __call__(self, images: Sequence[Image]) -> list[Any]:
        """The answer to each image, in the application's own form."""
        return [self.answers.read(one) for one in self.outputs(images)]


@dataclass(frozen=True)
class Model:
    """An opened model.

    Attributes:
        application: Application of the model.
        card: Card in its file.
        path: Run folder, weights file or export.
        options: Options for computing answers.
        network: Network in evaluation mode, on the CPU; None for an export.
        export: The export; None for a network.
        original: Whether the network is a file of another format, in its own runtime.
    """

    application: PhotoApplication[Any]
    card: Card
    path: Path
    options: Any
    network: nn.Module | None = None
    export: Exported | None = None
    original: bool = False

    def place(self, device: str) -> str:
        """Device that it computes on: the given one, or the CPU if it can use no other."""
        return "cpu" if self.export is not None or self.original else device

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that are stored with the network, apart from the card."""
        if self.export is not None:
            return self.export.facts
        return self.application.network().facts(self.network)

    @property
    def answers(self) -> Any:
        """Presentation of its outputs: :class:`tasks.application.Answers`."""
        return self.application.answers(self.card, self.facts, self.options, self.path)

    def predictor(self, device: str) -> Predictor:
        """A predictor for images of any size; exports and originals compute on the CPU."""
        if self.export is not None:
            return Predictor(self.export, self.answers)
        assert self.network is not None
        place = self.place(device)
        outputs = network_outputs(self.application, self.network, self.card, place)
        return Predictor(outputs, self.answers)


def load_network(path: Path, application: PhotoApplication[Any], options: Any) -> tuple[Any, Card]:
    """The network of a weights file that is known to belong to an application, and its card.

    Args:
        path: Run folder or weights file.
        application: The application.
        options: Its options.

    Raises:
        InputError: If it is missing, damaged or inconsistent.
    """
    from tasks.weights.file import refuse_unfit
    from tasks.weights.head_files import load_weights

    state, card = load_weights(path)
    build = partial(application.network().build, card, state, path, options)
    refuse_unfit(lambda: build()[0], state, str(path))
    network, card = build()
    network.load_state_dict(state)
    return network.eval(), card


def open_network(
    path: Path, application: PhotoApplication[Any], given: Iterable[object] = ()
) -> tuple[Any, Card]:
    """A network of one application with the weights of a file, in evaluation mode, and its card.

    Args:
        path: Run folder or weights file.
        application: The application.
        given: Options of any applications; this one picks its own.

    Raises:
        InputError: If it is missing, damaged or inconsistent, or belongs to another application.
    """
    if is_export(path):
        raise InputError(f"{path}: is an export; name the weights it came from")
    task = read_card(path).task
    if task != application.name:
        raise InputError(f"{path}: these weights are for {task}, not for {application.name}")
    return load_network(path, application, application.pick(given))


def network_outputs(
    application: PhotoApplication[Any], network: nn.Module, card: Card, device: str
) -> Callable[[Sequence[Image]], list[Outputs]]:
    """A network prepared for images of any size: a folded copy on a device."""
    import torch

    from backbone.layers import fold_batchnorm

    record = application.network()
    square = record.view.square(card)
    model = fold_batchnorm(network)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def outputs(images: Sequence[Image]) -> list[Outputs]:
        if not images:
            return []
        squares = np.stack([square(image) for image in images])
        # Stored channels last, which is the layout that the network needs.
        batch = torch.from_numpy(squares).permute(0, 3, 1, 2).to(device)
        sizes = [(image.shape[1], image.shape[0]) for image in images]
        with torch.inference_mode():
            raw = _each(record.run(model, batch), lambda part: part.float().cpu())
            return rows_of(record.decode(model, card, raw, frame_of(sizes)))

    return outputs


def exact_outputs(
    application: PhotoApplication[Any],
    network: Any,
    card: Card,
    images: Tensor,
    sizes: Sequence[tuple[int, int]] | None,
) -> list[Outputs]:
    """The named outputs of squares from a loader, decoded in float64 for evaluators.

    Args:
        application: Application of the network.
        network: Network in evaluation mode.
        card: Card of the network.
        images: (B, 3, S, S) on the network's device.
        sizes: (width, height) of the original images; None if nothing depends on them.
    """
    record = application.network()
    raw = _each(record.run(network, images), lambda part: part.detach().cpu().double())
    frame = None if sizes is None else frame_of(sizes).double()
    return rows_of(record.decode(network, card, raw, frame))


def frame_of(sizes: Sequence[tuple[int, int]]) -> Tensor:
    """(B, 1, 4) float32 width, height, width, height of images of some (width, height)."""
    import torch

    return torch.tensor([[size * 2] for size in sizes], dtype=torch.float32)


def rows_of(decoded: Mapping[str, Tensor]) -> list[Outputs]:
    """Named outputs of a batch, image by image, without padding."""
    arrays = {name: part.cpu().numpy() for name, part in decoded.items()}
    rows = zip(*arrays.values(), strict=True)
    return [without_padding(dict(zip(arrays, row, strict=True))) for row in rows]


def _each(raw: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Raw outputs with each floating tensor changed."""
    if isinstance(raw, tuple):
        parts = [_each(part, change) for part in raw]
        return type(raw)(*parts) if hasattr(raw, "_fields") else tuple(parts)
    return change(raw) if raw.is_floating_point() else raw.cpu()


def answered(
    model: Model, loader: Iterable[Batch] | Iterable[PhotoBatch], device: str, label: str
) -> Iterator[tuple[list[int], list[Outputs]]]:
    """Yield image ids and named outputs of each batch of an evaluation.

    Batches are as in training; for an export, of original images. ``label`` is the title of the
    progress bar.
    """
    from tqdm import tqdm

    total = len(loader) if isinstance(loader, Sized) else None
    bar = tqdm(loader, label, total, unit="batch", mininterval=0.5)
    if model.export is not None:
        for photos in cast("Iterable[PhotoBatch]", bar):
            yield photos["image_ids"], model.export(photos["images"])
        return
    import torch

    assert model.network is not None
    network: Any = model.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for batch in cast("Iterable[Any]", bar):
        images = batch["images"].to(device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            found = exact_outputs(
                model.application, network, model.card, images, batch.get("sizes")
            )
        yield batch["image_ids"], found
