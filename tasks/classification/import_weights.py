"""Makes an imported MobileNet v1 a classifier of this suite, or a body if it has no head."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from backbone.formats.network import BODY, HEAD_BIAS, HEAD_WEIGHT, Network
from backbone.formats.partial import PartialFlavour, resolve
from backbone.imagenet_classes import WORDNET_IDS
from backbone.mobilenet_v1 import MobileNetV1
from datasets.errors import InputError
from datasets.text import read_text
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.classification.spec import BODY_TASK, TASK
from tasks.weights.card import Card
from tasks.weights.file import load_into

# ImageNet's thousand classes, preceded by TensorFlow's background.
_IMAGENET = len(WORDNET_IDS)
_WITH_BACKGROUND = _IMAGENET + 1
# The first class in every list of their names.
_FIRST = "tench"
_WNID = re.compile(r"n(\d{8})\b[\s:,]*(.*)")
_BACKGROUND = ("background", "???", "dummy")
_STRIDE = 32


class Imported(NamedTuple):
    """A model of this suite filled with imported weights.

    Attributes:
        model: Classifier, or body if there is no head, in evaluation mode.
        card: Card to write beside the weights.
        background: Whether the original has a background column, which was dropped.
    """

    model: nn.Module
    card: Card
    background: bool = False

    def about(self) -> str:
        """A short description of the model."""
        if self.card.task == BODY_TASK:
            return "body of a classifier: --weights of any training tool starts from it"
        dropped = ", background column dropped" if self.background else ""
        return f"classifier, {len(self.card.classes)} classes{dropped}"

    def state(self) -> dict[str, Tensor]:
        """State dict to write."""
        prefix = BODY if self.card.task == BODY_TASK else ""
        return {f"{prefix}{name}": value for name, value in self.model.state_dict().items()}


def import_network(
    network: Network, given: PartialFlavour | None = None, labels: Path | None = None
) -> Imported:
    """Fill a model with a network that was read from another framework's file.

    Args:
        network: Network from :func:`~backbone.formats.recognise.read_network`.
        given: Flavour values that the user states.
        labels: Text file with a class per line, in the order of the outputs: a name, a WordNet id
            (n01440764) or both; a first line ``background`` stands for the background column. By
            default classes are numbered, except for 1000 or 1001 outputs: those are ImageNet's.

    Raises:
        InputError: If the flavour is incomplete or contradicts the file, there are too few or too
            many class names, or a tensor does not fit.
    """
    flavour = resolve(network.name, network.stated, network.usual, given or PartialFlavour())
    if flavour.padding == "keras" and flavour.input.size % _STRIDE == 0:
        flavour = replace(flavour, padding="same")  # Equal there, and what every head is made for.
    source = f"imported from {Path(network.name).name} ({network.kind})"
    folded = network.folded
    if not network.columns:
        if labels is not None:
            raise InputError(f"--labels {labels}: {network.name} has no classifier, only a body")
        body = MobileNetV1(network.alpha, flavour, variant=network.variant)
        state = {key.removeprefix(BODY): value for key, value in network.state.items()}
        load_into(body, state, network.name)
        told = {
            "backbone": "mobilenet_v1",
            "alpha": network.alpha,
            "variant": network.variant,
        }
        none, source = ClassMap((), ()), f"body {source}"
        card = Card(BODY_TASK, told, flavour, none, source=source, folded=folded)
        return Imported(body.eval(), card)
    classes, background = class_map(network, labels)
    spec = ClassifierSpec(alpha=network.alpha, variant=network.variant, size=flavour.input.size)
    model = Classifier(spec, len(classes), flavour)
    state = dict(network.state)
    for key in (HEAD_WEIGHT, HEAD_BIAS) if background else ():
        state[key] = state[key][1:]
    load_into(model, state, network.name)
    card = Card(TASK, spec.to_json(), flavour, classes, source=source, folded=folded)
    return Imported(model.eval(), card, background)


def class_map(network: Network, labels: Path | None) -> tuple[ClassMap, bool]:
    """Class names of the outputs that are kept, and whether the first output is background."""
    columns = network.columns
    if labels is None:
        if columns in (_IMAGENET, _WITH_BACKGROUND):
            classes = ClassMap(WORDNET_IDS, tuple(f"n{k:08d}" for k in WORDNET_IDS))
            return classes, columns == _WITH_BACKGROUND
        return ClassMap.from_names([f"class {k}" for k in range(1, columns + 1)]), False
    classes, has_background = _read_classes(labels)
    extra = columns - len(classes)
    if extra == 0:
        return classes, False
    if extra == 1 and (has_background or columns == _WITH_BACKGROUND):
        return classes, True
    raise InputError(
        f"{network.name}: {columns} class columns, but {len(classes)} class names in {labels}"
        + ("; if the first column is background, write that in the first line" * (extra == 1))
    )


def _read_classes(labels: Path) -> tuple[ClassMap, bool]:
    """Classes, with equal names distinguished by number, and whether background comes first.

    WordNet ids are those in the file, or ImageNet's if it lists a thousand names beginning with
    the tench.
    """
    try:
        lines = read_text(labels).splitlines()
    except InputError as error:
        raise InputError(f"--labels {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    has_background = bool(names) and names[0].lower() in _BACKGROUND
    names = names[1:] if has_background else names
    ids, found = None, [match for name in names if (match := _WNID.fullmatch(name))]
    if names and len(found) == len(names):
        ids = tuple(int(match[1]) for match in found)
        names = [match[2] or match[0] for match in found]
    # ImageNet's usual list has two cranes (bird and machine) and two maillots.
    twice = {name for name, count in Counter(names).items() if count > 1}
    shown = [f"{n} (class {k})" if n in twice else n for k, n in enumerate(names, start=1)]
    if ids is None and len(shown) == _IMAGENET and shown[0].lower().startswith(_FIRST):
        ids = WORDNET_IDS
    try:
        classes = ClassMap.from_names(shown) if ids is None else ClassMap(ids, tuple(shown))
    except ValueError as error:
        raise InputError(f"--labels {labels}: {error}") from error
    return classes, has_background
