"""A model card for the Hugging Face Hub, from the card of a weights file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbone.flavour import InputSpec
from tasks.application import Application, PhotoApplication
from tasks.applications import application_named
from tasks.open_model import open_model
from tasks.reporting.tables import ABSENT
from tasks.weights.card import Card
from tools import cli
from tools.flows.evaluating import model_text

# Number of class names that are listed; of longer lists the first few are.
_LISTED, _FEW = 100, 10
# Folders before a path's last component; within quotation marks they may contain spaces.
_ROOT = r"(?:~\w*|\.{1,2}|[A-Za-z]:)?[/\\]+"
_QUOTED = re.compile(rf"(['\"]){_ROOT}(?:[^'\"/\\]+[/\\]+(?=[^'\"/\\]))*")
_BARE = re.compile(rf"(?<![\w:/\\.~'\"-]){_ROOT}(?:[^\s'\"/\\]+[/\\]+(?=[^\s'\"/\\]))*")


def without_folders(words: str) -> str:
    """A run's description of its origin, with paths reduced to their last components."""
    return _BARE.sub("", _QUOTED.sub(r"\1", words))


def public_card(card: Card, origin: str | None = None) -> Card:
    """A card, and its heads' cards, without this machine's folders; optionally with an origin."""
    model, told = dict(card.model), dict(card.trained_on)
    if isinstance(model.get("heads"), dict):
        heads = {name: Card.from_json(one) for name, one in model["heads"].items()}
        model["heads"] = {name: public_card(one, origin).to_json() for name, one in heads.items()}
    if isinstance(model.get("trained_on"), str):
        model["trained_on"] = without_folders(model["trained_on"])
    told.pop("path", None)  # Of cards from before there were digests.
    source = origin or without_folders(card.source)
    return replace(card, source=source, model=model, trained_on=told)


def model_card(card: Card, weights: Path, name: str, licence: str | None = None) -> str:
    """Markdown with the Hub's header. Raises InputError if the card's model cannot be built."""
    application = application_named(card.task, weights)
    answers = application if isinstance(application, PhotoApplication) else None
    header = ["library_name: mobilenet-suite", "tags: [mobilenet, mobilenet_v1]"]
    if answers is not None:
        header.append(f"pipeline_tag: {answers.pipeline}")
    if licence is not None:
        header.append(f"license: {licence}")
    rows = [
        ("task", card.task),
        ("model", model_text(card)),
        ("input", _input_text(card.flavour.input)),
        ("origin", card.source),
        *([("made with", f"MobileNet suite {card.version}")] if card.version else []),
    ]
    if answers is not None:  # Of a body alone the input may have any size.
        facts = open_model(weights).facts
        rows.insert(2, ("cost of an image", str(answers.network().cost(card, facts, weights))))
        rows += answers.card_rows(card, weights)
    limits = answers.use_note if answers else ""
    parts = [
        "\n".join(["---", *header, "---"]),
        f"# {name.partition('/')[2]}",
        _table(("", ""), rows),
        *_figures(card, answers),
        *_classes(card, answers),
        *(["## What it is not for", limits] if limits else []),
        _usage(application, name),
    ]
    return "\n\n".join(parts) + "\n"


def _input_text(spec: InputSpec) -> str:
    scaling = ", ".join(
        f"{word} {' '.join(f'{value:.4g}' for value in values)}"
        for word, values in (("mean", spec.mean), ("standard deviation", spec.std))
    )
    cut = f", of which the central {spec.crop:g} is kept" if spec.crop < 1 else ""
    return (
        f"{spec.size}x{spec.size} pixels, {spec.channels.upper()} in 0..1, {scaling}, "
        f"{spec.interpolation} resize{cut}"
    )


def _figures(card: Card, answers: PhotoApplication[Any] | None) -> list[str]:
    """Metrics on the validation part, if there are any."""
    meanings = answers.meanings if answers else {}
    rows = [
        (name, f"{value:.3f}", meanings.get(name.removeprefix("val_"), ""))
        for name, value in card.metrics.items()
        if value != ABSENT
    ]
    table = _table(("figure", "value", "meaning"), rows)
    return ["## Measured on its validation data", table] if rows else []


def _classes(card: Card, answers: PhotoApplication[Any] | None) -> list[str]:
    """The classes of its answers."""
    names = card.classes.names
    if not names:
        return []
    what = answers.noun if answers else "classes"
    title = f"## {what.capitalize()} ({len(names)})"
    if answers and answers.classes_note:
        return [title, answers.classes_note]
    listed = names if len(names) <= _LISTED else names[:_FEW]
    more = len(names) - len(listed)
    text = ", ".join(listed) + (f", and {more} more, which the weights carry" if more else "")
    return [title, text]


def _usage(application: Application, name: str) -> str:
    file = f"{name.partition('/')[2]}.safetensors"
    lines = [f"{cli.command('download')} {name}"]
    if isinstance(application, PhotoApplication):
        more = f" {application.predict_with}" if application.predict_with else ""
        lines += [
            f"{cli.command('predict')} {file} photo.jpg{more}",
            f"{cli.command('evaluate')} {file} --data PATH",
        ]
    starts = application.starts or (application.train_tool,)
    lines += [f"{cli.command(tool)} --weights {file} --data PATH" for tool in starts]
    return "\n".join(["## Use", "", "With the MobileNet suite:", "", *(f"    {x}" for x in lines)])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; vertical bars in cells are replaced."""
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in row)} |" for row in cells)
