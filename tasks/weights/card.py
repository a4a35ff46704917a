"""Weights with their card: a safetensors file that says what it is and how to use it.

Cards are read where there is no torch, too; so it is imported by the functions that need it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backbone.flavour import Flavour
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.fitting.spec import WEIGHTS_NAME
from tasks.weights.atomic_write import replacing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FORMAT = 2
# Tensors of the body, in the weights of every task.
BODY_PREFIX = "body."
Spec = TypeVar("Spec")
_KEY = "card"


@dataclass(frozen=True)
class Card:
    """What a weights file says of itself.

    Attributes:
        task: ``detection``.
        model: Architecture, as the task's spec writes it.
        flavour: Padding, batch-norm epsilon, activation, input.
        classes: Names and original ids.
        metrics: Measured on the validation split, by name.
        source: Where the weights come from, in a sentence.
        folded: Batch norm carries only an offset, because the source had folded it away: its
            statistics were never measured.
        trunk: Of a head's file the digest of the trunk that it was trained on (see
            :mod:`tasks.weights.head_files`); else empty.
        trained_on: What the weights were trained on, where their task must know it again; a
            geolocator's is :class:`~tasks.geolocation.provenance.TrainedOn`. Else empty.
    """

    task: str
    model: dict[str, Any]
    flavour: Flavour
    classes: ClassMap
    metrics: dict[str, float] = field(default_factory=dict)
    source: str = ""
    folded: bool = False
    trunk: str = ""
    trained_on: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {
            "format": FORMAT,
            "task": self.task,
            "model": self.model,
            "flavour": self.flavour.to_json(),
            "classes": self.classes.to_json(),
            "metrics": self.metrics,
            "source": self.source,
            "folded": self.folded,
            **({"trunk": self.trunk} if self.trunk else {}),
            **({"trained_on": self.trained_on} if self.trained_on else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Card:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: If it is of a newer format or lacks a field.
        """
        form = data.get("format") if isinstance(data, dict) else None
        if form != FORMAT:
            raise InputError(
                f"card of format {form}; this version reads {FORMAT}: import or train it again"
            )
        for name in ("model", "metrics"):
            if not isinstance(data.get(name), dict):
                raise InputError(f"the card's {name} is missing or no table")
        try:
            return cls(
                task=data["task"],
                model=data["model"],
                flavour=Flavour.from_json(data["flavour"]),
                classes=ClassMap.from_json(data["classes"]),
                metrics=data["metrics"],
                source=data["source"],
                folded=data["folded"],
                trunk=data.get("trunk", ""),
                trained_on=dict(data.get("trained_on", {})),
            )
        except KeyError as error:
            raise InputError(f"the card lacks {error}") from error
        except (AttributeError, TypeError) as error:
            raise InputError(f"the card is not one of this suite ({error})") from error


def save_weights(path: Path, state: dict[str, Tensor], card: Card) -> None:
    """Write weights and card in one piece.

    Raises:
        OSError: If the file cannot be written; an older one stays as it was.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # safetensors takes plain layouts only, and no two names for one tensor.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, metadata={_KEY: json.dumps(card.to_json())})
        except SafetensorError as error:
            raise OSError(f"{path}: cannot be written ({error})") from error


def find_weights(path: Path) -> Path:
    """The weights file of a run folder, or the file itself.

    Raises:
        InputError: If there is none.
    """
    if path.is_dir():
        inside = path / WEIGHTS_NAME
        if not inside.exists():
            raise InputError(f"{path}: no {WEIGHTS_NAME} in this folder; is it a run folder?")
        return inside
    if not path.exists():
        raise InputError(f"{path}: no such weights file or run folder")
    return path


def load_weights(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Read weights and card of a run folder or a file, without pickle.

    To a head's file its trunk is added, so that it is like any other file of its task.

    Raises:
        InputError: If the file is missing, damaged, or was not written by this suite; or a head's
            trunk is not there, or is another one.
    """
    state, card = load_tensors(path)
    if card.trunk:
        from tasks.weights.head_files import with_trunk

        state = with_trunk(state, card, path)
    return state, card


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Card]:
    """The same of what the file itself holds: a head comes without its trunk.

    Raises:
        InputError: If the file is missing, damaged, or was not written by this suite.
    """
    file = find_weights(path)
    with _opened(file) as opened:
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return state, _card_of(opened, file)


def read_card(path: Path) -> Card:
    """Read the card of a run folder or a file alone, which takes no time; or of an export.

    Raises:
        InputError: If the file is missing, damaged, or was not written by this suite.
    """
    from tasks.runtime.exported import Exported, is_export

    if is_export(path):
        return Exported.open(path).card
    file = find_weights(path)
    with _opened(file) as opened:
        return _card_of(opened, file)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file}: not a whole safetensors file ({error}); other formats come in through "
            "tools/import_weights.py"
        ) from error


def _card_of(opened: Any, file: Path) -> Card:
    metadata = opened.metadata() or {}
    if _KEY not in metadata:
        raise InputError(
            f"{file}: these weights carry no card, so their architecture and preprocessing are "
            "unknown; bring them in with tools/import_weights.py"
        )
    try:
        return Card.from_json(json.loads(metadata[_KEY]))
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error


def spec_of(card: Card, kind: type[Spec], path: Path) -> Spec:
    """The architecture that a card tells, in full: nothing is filled in.

    Args:
        card: Of the weights.
        kind: Dataclass of the task's architectures.
        path: Of the weights, for the message.

    Raises:
        InputError: If a field is missing or unknown, naming it.
    """
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if card.model.keys() != known:
        odd = ", ".join(sorted(card.model.keys() ^ known))
        raise InputError(f"{path}: the card's model cannot be built: missing or unknown: {odd}")
    return kind(**card.model)


def load_into(model: torch.nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Load a state dict that must fit exactly.

    Raises:
        InputError: Naming the first tensor that does not fit, with both shapes.
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
    model.load_state_dict(state)
