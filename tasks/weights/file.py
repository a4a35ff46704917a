"""Weights files: safetensors that contain their card.

Cards are also read where there is no torch, so the functions that need torch import it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backbone.typed_fields import refuse_other_types
from datasets.errors import InputError
from datasets.json_files import parse_json
from datasets.lfs import refuse_pointer
from datasets.locks import remove_unfinished
from datasets.names import odd_file
from tasks.weights.atomic_write import replacing
from tasks.weights.card import Card
from tasks.weights.digest import digest_of
from tasks.weights.names import WEIGHTS_NAME

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Prefix of the body's tensors, in the weights of every task.
BODY_PREFIX = "body."
Spec = TypeVar("Spec")
Module = TypeVar("Module", bound="torch.nn.Module")
# Keys of a file's metadata: the card, and the digest of it and of all tensors.
_KEY, _DIGEST = "card", "digest"


def save_weights(path: Path, state: dict[str, Tensor], card: Card) -> None:
    """Write weights and card atomically, and remove what killed processes left of them.

    Args:
        path: File to write.
        state: Tensors by name.
        card: Card of the network.

    Raises:
        OSError: If the file cannot be written; an older one is left unchanged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # safetensors accepts only plain layouts, and no two names for one tensor.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    told = json.dumps(card.to_json())
    metadata = {_KEY: told, _DIGEST: digest_of(plain, told)}
    remove_unfinished(path.parent, path.name)
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: cannot be written ({error})") from error


def find_weights(path: Path) -> Path:
    """The weights file of a run folder, or the file itself. Raises InputError if there is none."""
    if path.is_dir():
        inside = path / WEIGHTS_NAME
        if not inside.exists():
            raise InputError(f"{path}: no {WEIGHTS_NAME} in this folder; is it a run folder?")
        return inside
    if not path.exists():
        raise InputError(f"{path}: no such weights file or run folder")
    if what := odd_file(path):
        raise InputError(f"{path}: is {what}, and no weights file or run folder")
    return path


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Read the weights and card of a run folder or a file, without pickle.

    A head is read without its trunk; :func:`tasks.weights.head_files.load_weights` adds it.

    Args:
        path: Run folder or weights file.

    Raises:
        InputError: If the file is missing, was not written by this suite, or is damaged: every bit
            must be as it was written.
    """
    file = find_weights(path)
    with _opened(file, "pt") as opened:
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        card = _card_of(opened, file)
        _refuse_damage(state, opened.metadata(), file)
        return state, card


def read_weights_card(path: Path) -> Card:
    """Read only the card of a run folder or a weights file, which is fast and needs no torch.

    Args:
        path: Run folder or weights file.

    Raises:
        InputError: If the file is missing, damaged, or was not written by this suite.
    """
    file = find_weights(path)
    with _opened(file, "np") as opened:
        return _card_of(opened, file)


def spec_of(card: Card, kind: type[Spec], path: Path) -> Spec:
    """The complete architecture in a card: nothing is filled in.

    Args:
        card: The card.
        kind: Dataclass of the architecture.
        path: Path for messages.

    Raises:
        InputError: If a field is missing, unknown, of another type or out of range; the message
            names it.
    """
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if card.model.keys() != known:
        odd = ", ".join(sorted(card.model.keys() ^ known))
        raise InputError(f"{path}: the card's model cannot be built: missing or unknown: {odd}")
    try:
        refuse_other_types(card.model, kind)
        return kind(**card.model)
    except InputError as error:
        raise InputError(f"{path}: the card's model cannot be built: {error}") from error


def built_to_fit(build: Callable[[], Module], state: dict[str, Tensor], name: str) -> Module:
    """A network that a card describes, with the tensors of its file, which must fit exactly.

    Raises:
        InputError: Under the same conditions as in :func:`refuse_unfit`.
    """
    refuse_unfit(build, state, name)
    model = build()
    model.load_state_dict(state)
    return model


def refuse_unfit(
    build: Callable[[], torch.nn.Module], state: dict[str, Tensor], name: str
) -> None:
    """Check that the network of a card fits a file's tensors before its memory is allocated.

    A card may request any size, but the tensors in a file are no larger than the file.

    Args:
        build: Function that builds the network.
        state: Tensors of the file.
        name: Name of the file, for messages.

    Raises:
        InputError: If a tensor does not fit, naming the first with both shapes; or if the card
            requests a tensor of more bytes than can be counted.
    """
    import torch

    try:
        with torch.device("meta"):
            model = build()
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise InputError(f"{name}: the card's model is too large to be built") from error
    refuse_misfit(model, state, name)


def load_into(model: torch.nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Load a state dict that must fit exactly.

    Args:
        model: Network to load into.
        state: Tensors by name.
        name: Name of the file, for messages.

    Raises:
        InputError: If a tensor does not fit; the message names the first, with both shapes.
    """
    refuse_misfit(model, state, name)
    model.load_state_dict(state)


def refuse_misfit(model: torch.nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Check that a state dict fits exactly.

    Args:
        model: The network.
        state: Tensors by name.
        name: Name of the file, for messages.

    Raises:
        InputError: If a tensor does not fit; the message names the first, with both shapes.
    """
    own = model.state_dict()
    for key, tensor in own.items():
        if key not in state:
            raise InputError(f"{name}: the weights lack {key!r}: they are of another model")
        if state[key].shape != tensor.shape:
            raise InputError(
                f"{name}: {key!r} is {tuple(state[key].shape)} in the weights, but "
                f"{tuple(tensor.shape)} in the model: another width, head or class list"
            )
    extra = sorted(state.keys() - own.keys())
    if extra:
        raise InputError(f"{name}: the weights hold {extra[0]!r}, which the model does not know")


@contextlib.contextmanager
def _opened(file: Path, framework: str) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    refuse_pointer(file)
    try:
        with safe_open(file, framework=framework) as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file}: not a whole safetensors file ({error}); other formats come in through "
            "tools/import_weights.py"
        ) from error


def _refuse_damage(state: dict[str, Tensor], metadata: dict[str, str], file: Path) -> None:
    """Compare tensors and card with the digest from when they were written, if there is one."""
    told = metadata.get(_DIGEST)
    if told is None:  # Of an older version, or written anew by other software.
        return
    found = digest_of(state, metadata[_KEY])
    if found != told:
        raise InputError(
            f"{file}: damaged: its card states digest {told[:12]}, but its tensors and card have "
            f"{found[:12]}: something changed since it was written; copy or train it again"
        )


def _card_of(opened: Any, file: Path) -> Card:
    metadata = opened.metadata() or {}
    if _KEY not in metadata:
        raise InputError(
            f"{file}: these weights carry no card, so their architecture and preprocessing are "
            "unknown; bring them in with tools/import_weights.py"
        )
    try:
        return Card.from_json(parse_json(metadata[_KEY], "the card"))  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error
