"""Heads in separate files: the trunk that they belong to, and where it is.

A run of several heads writes ``model.safetensors`` and ``heads/NAME.safetensors``. A head's file
identifies the trunk by a digest, and is completed from the run's file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from datasets.errors import InputError
from tasks.weights.card import Card
from tasks.weights.digest import digest_of
from tasks.weights.file import BODY_PREFIX, load_tensors
from tasks.weights.names import HEADS_FOLDER, WEIGHTS_NAME

# Counter of batches; no network uses it.
_COUNTER = "num_batches_tracked"


def trunk_digest(state: Mapping[str, Tensor], own: Collection[str]) -> str:
    """SHA-256 of the parts of a trunk that a head uses: convolutions, and norms that it lacks.

    Args:
        state: Tensors, including those of the trunk.
        own: Names of the head's tensors; its own norms have the names of the trunk's.
    """
    return digest_of(
        {
            name: tensor
            for name, tensor in state.items()
            if name.startswith(BODY_PREFIX) and name not in own and not name.endswith(_COUNTER)
        }
    )


def refuse_other_trunk(
    state: Mapping[str, Tensor], own: Collection[str], card: Card, *, head: Path, trunk: Path
) -> None:
    """Check that a head was trained on a trunk. Raises InputError if not, naming both."""
    found = trunk_digest(state, own)
    if found != card.trunk:
        raise InputError(
            f"{head}: the head was trained on trunk {card.trunk[:12]}, but {trunk} has "
            f"{found[:12]}: on another trunk it answers nonsense; train it there, by "
            "tools/train_multi.py --add NAME=DATA"
        )


def with_trunk(state: dict[str, Tensor], card: Card, path: Path) -> dict[str, Tensor]:
    """A head's tensors with those of its trunk, from the run that its file belongs to.

    Args:
        state: Tensors of the head.
        card: Card of the head.
        path: File of the head.

    Raises:
        InputError: If the trunk is not there, or is another one.
    """
    file = path.resolve().parent.parent / WEIGHTS_NAME
    if path.parent.name != HEADS_FOLDER or not file.exists():
        raise InputError(
            f"{path}: a head without its trunk: keep it in the folder {HEADS_FOLDER}/ beside the "
            f"{WEIGHTS_NAME} of its run, or attach it by tools/train_multi.py --weights TRUNK "
            f"--add NAME={path}"
        )
    there, _ = load_tensors(file)
    refuse_other_trunk(there, state, card, head=path, trunk=file)
    trunk = {name: tensor for name, tensor in there.items() if name.startswith(BODY_PREFIX)}
    return {**trunk, **state}


def load_weights(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Read weights and card of a run folder or a file, without pickle.

    The trunk is added to a head's file, so that it is like any other file of its task.

    Args:
        path: Run folder or weights file.

    Raises:
        InputError: If the file is missing, damaged, or was not written by this suite; or a head's
            trunk is not there, or is another one.
    """
    state, card = load_tensors(path)
    if card.trunk:
        state = with_trunk(state, card, path)
    return state, card
