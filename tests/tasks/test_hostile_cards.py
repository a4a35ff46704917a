"""Cards of strangers: what they ask for is compared with the file before it is built."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.application import PhotoApplication
from tasks.applications import APPLICATIONS, photo_application
from tasks.detection.spec import DetectOptions
from tasks.open_model import open_model
from tasks.runtime.exported import Exported
from tasks.runtime.session import FACTS_KEY
from tasks.weights.file import read_weights_card, save_weights
from tests.exports import Exports

VARIANTS = {"detection": "ssd300"}
HUGE = "is .* in the weights, but|too large to be built"


@pytest.fixture(
    params=[one for one in APPLICATIONS if isinstance(one, PhotoApplication)],
    ids=lambda one: str(one.name),
)
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Weights of a narrow network of each application."""
    application: Any = request.param
    variant = VARIANTS.get(application.name, "standard")
    network, card = application.network().example(0.1, 96, variant)
    file = tmp_path / "model.safetensors"
    save_weights(file, network.state_dict(), card)
    return file


def change(file: Path, place: tuple[str, ...], value: object) -> None:
    """Let a card say something else."""
    with safe_open(file, "pt") as opened:
        card = json.loads(opened.metadata()["card"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    inner = card
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    save_file(tensors, file, {"card": json.dumps(card)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model", "alpha"), 5, HUGE),
        (("model", "alpha"), 500, HUGE),
        (("model", "alpha"), 1e12, HUGE),
        (("model", "alpha"), "x", r"alpha is 'x'; a finite number is needed"),
        (("model", "alpha"), float("nan"), r"alpha is nan; a finite number"),
        (("model", "alpha"), True, r"alpha is True; a finite number"),
        (("model", "size"), 10**9, r"too large: 8192 at the most|two sizes|sizes"),
        (("model", "size"), 96.5, r"size is 96\.5; a whole number is needed"),
        (("model", "backbone"), "../../x", r"backbone is '\.\./\.\./x'; one of mobilenet_v1"),
        (("model", "backbone"), ["mobilenet_v1"], r"backbone is \['mobilenet_v1'\]; one of"),
        (("flavour", "input", "size"), 10**9, r"input size 1000000000 is too large"),
        (("flavour", "input", "mean"), ["a", 0, 0], r"mean is .*; a finite number"),
        (("flavour", "input"), 7, r"its input is no table"),
        (("flavour", "activation"), 7, r"activation is 7; a text is needed"),
    ],
)
def test_what_cannot_be_is_refused(
    weights: Path, place: tuple[str, ...], value: object, message: str
) -> None:
    change(weights, place, value)
    with pytest.raises(InputError, match=message) as caught:
        open_model(weights)
    assert str(weights) in str(caught.value)


def test_what_a_killed_process_left_of_weights_goes(exports: Exports) -> None:
    source, others = exports.source("classifier"), exports.folder
    left, alive = (others / f".again.safetensors.{pid}.tmp" for pid in (2**22 + 9, os.getppid()))
    for file in (left, alive):
        file.write_text("half")
    save_weights(others / "again.safetensors", source.model.state_dict(), source.card)
    assert not left.exists()
    assert alive.exists()
    alive.unlink()


def test_many_equal_names_are_found_at_once() -> None:
    with pytest.raises(InputError, match="class name 'x' occurs twice"):
        ClassMap(tuple(range(300_000)), ("x",) * 300_000)


class Sessionless:
    """A runtime's file of which only the notes are read."""

    single, outputs = True, ()

    def __init__(self, notes: dict[str, str]) -> None:
        self.notes = notes


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("precision",), 7),
        (("heads",), ["x"]),
        (("post",), "x"),
        (("post", "score_threshold"), "x"),
        (("post", "candidates"), None),
        (("square", "images", "size"), 10**9),
        (("square", "images", "size"), "64"),
        (("square", "images", "crop"), 0),
        (("square", "images"), None),
        (("square",), [1]),
        ((), [1]),
    ],
)
def test_facts_of_other_types_are_refused(
    exports: Exports, place: tuple[str, ...], value: object
) -> None:
    _, notes = exports.square("ssd")
    facts = json.loads(notes[FACTS_KEY])
    inner = facts
    for name in place[:-1]:
        inner = inner[name]
    if place:
        assert place[-1] in inner or place == ("heads",)
        inner[place[-1]] = value
    hostile = {**notes, FACTS_KEY: json.dumps(facts if place else value)}
    with pytest.raises(InputError, match=r"x\.tflite: "):
        _ask(hostile, Path("x.tflite"))


def _ask(notes: dict[str, str], path: Path) -> None:
    exported = Exported(Sessionless(notes), path)
    application = photo_application("detection", path)
    application.answers(exported.card, exported.facts, DetectOptions(), path)


def test_a_card_nested_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, file, {"card": "[" * 100_000})
    with pytest.raises(InputError, match=r"model\.safetensors: .*nested too deeply"):
        read_weights_card(file)
