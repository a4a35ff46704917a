"""One version: of the package, its citation, its change log, and what it makes."""

import re
from dataclasses import replace
from importlib.metadata import version

from backbone import __version__
from backbone.flavour import Flavour
from datasets.types import ClassMap
from tasks.weights.card import Card
from tests.house import ROOT


def test_every_place_names_it() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"(?m)^version: (.+)$", citation)[1] == __version__  # type: ignore[index]
    assert re.search(r"(?m)^## \[(\d.+)\]$", changes)[1] == __version__  # type: ignore[index]
    assert version("mobilenet-suite") == __version__


def test_a_card_keeps_the_version_that_made_it() -> None:
    card = Card("classification", {}, Flavour(), ClassMap((0,), ("cat",)))
    assert card.to_json()["version"] == __version__
    old = Card.from_json(replace(card, version="0.0.3").to_json())
    assert old.version == old.to_json()["version"] == "0.0.3"
    bare = {key: value for key, value in card.to_json().items() if key != "version"}
    assert Card.from_json(bare).to_json() == bare
