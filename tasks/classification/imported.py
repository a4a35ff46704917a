"""A foreign MobileNet v1 as a classifier of ours with its card, or as a body if it has no head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from backbone.flavour import Flavour
from backbone.formats.network import BODY, HEAD_BIAS, HEAD_WEIGHT, Network
from backbone.formats.partial import PartialFlavour, resolve
from backbone.mobilenet_v1 import MobileNetV1
from datasets.types import ClassMap
from tasks.card import Card, load_into
from tasks.classification.load import TASK
from tasks.classification.model import build_classifier
from tasks.classification.spec import ClassifierSpec

BODY_TASK = "body"
# ImageNet's thousand classes and TensorFlow's background before them.
_WITH_BACKGROUND = 1001
_BACKGROUND = ("background", "???", "dummy")
_STRIDE = 32


@dataclass(frozen=True)
class Imported:
    """A model of ours filled with foreign weights.

    Attributes:
        model: Classifier, or body if there is no head, in evaluation mode.
        card: What to write beside the weights.
        background: Whether the original has a background column, which was dropped.
    """

    model: nn.Module
    card: Card
    background: bool = False

    def about(self) -> str:
        """What it is, in a phrase."""
        if self.card.task == BODY_TASK:
            return "body of a classifier: --weights of any training tool starts from it"
        dropped = ", background column dropped" if self.background else ""
        return f"classifier, {len(self.card.classes)} classes{dropped}"

    def state(self) -> dict[str, Tensor]:
        """What to write."""
        prefix = BODY if self.card.task == BODY_TASK else ""
        return {f"{prefix}{name}": value for name, value in self.model.state_dict().items()}


def import_network(
    network: Network, given: PartialFlavour | None = None, labels: Path | None = None
) -> Imported:
    """Fill a model with a network that was read from a foreign file.

    Args:
        network: As :func:`~backbone.formats.recognise.read_network` reads it.
        given: What the user says of its flavour.
        labels: Text file with a class name per line, in the order of the columns; a first line
            ``background`` stands for the background column. By default they are numbered.

    Raises:
        ValueError: If the flavour is not known in full or contradicts the file, the class names
            are too few or too many, or a tensor does not fit.
    """
    flavour = resolve(network.name, network.stated, network.usual, given or PartialFlavour())
    _check_size(network, flavour)
    source = f"imported from {Path(network.name).name} ({network.kind})"
    if not network.columns:
        if labels is not None:
            raise ValueError(f"--labels {labels}: {network.name} has no classifier, only a body")
        return _import_body(network, flavour, f"body {source}")
    classes, background = class_map(network, labels)
    spec = ClassifierSpec(alpha=network.alpha, size=flavour.input.size)
    model = build_classifier(spec, len(classes), flavour)
    state = dict(network.state)
    for key in (HEAD_WEIGHT, HEAD_BIAS) if background else ():
        state[key] = state[key][1:]
    load_into(model, state, network.name)
    card = Card(
        task=TASK,
        model=spec.to_json(),
        flavour=flavour,
        classes=classes,
        source=source,
        folded=network.folded,
    )
    return Imported(model.eval(), card, background)


def _import_body(network: Network, flavour: Flavour, source: str) -> Imported:
    body = MobileNetV1(network.alpha, flavour)
    state = {key.removeprefix(BODY): value for key, value in network.state.items()}
    load_into(body, state, network.name)
    card = Card(
        task=BODY_TASK,
        model={"backbone": "mobilenet_v1", "alpha": network.alpha},
        flavour=flavour,
        classes=ClassMap((), ()),
        source=source,
        folded=network.folded,
    )
    return Imported(body.eval(), card)


def _check_size(network: Network, flavour: Flavour) -> None:
    if network.only_even and flavour.input.size % _STRIDE:
        raise ValueError(
            f"{network.name}: {network.kind} pads (0, 1) where it halves a map, which differs "
            f"from SAME at --size {flavour.input.size}; give a multiple of {_STRIDE}"
        )


def class_map(network: Network, labels: Path | None) -> tuple[ClassMap, bool]:
    """Class names of the columns that stay, and whether the first column is background.

    Raises:
        ValueError: If there are too few or too many names.
    """
    columns = network.columns
    if labels is None:
        background = columns == _WITH_BACKGROUND
        names = [f"class {k}" for k in range(1, columns + (not background))]
        return ClassMap.from_names(names), background
    names, has_background = _read_names(labels)
    extra = columns - len(names)
    if extra == 0:
        return ClassMap.from_names(names), False
    if extra == 1 and (has_background or columns == _WITH_BACKGROUND):
        return ClassMap.from_names(names), True
    raise ValueError(
        f"{network.name}: {columns} class columns, but {len(names)} class names in {labels}"
        + ("; if the first column is background, write that in the first line" * (extra == 1))
    )


def _read_names(labels: Path) -> tuple[list[str], bool]:
    """Names, each told from its double by its number, and whether background comes first."""
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--labels {labels}: cannot be read as text ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    has_background = bool(names) and names[0].lower() in _BACKGROUND
    names = names[1:] if has_background else names
    # ImageNet's usual list has two cranes (bird and machine) and two maillots.
    twice = {name for name in names if names.count(name) > 1}
    shown = [f"{n} (class {k})" if n in twice else n for k, n in enumerate(names, start=1)]
    return shown, has_background
