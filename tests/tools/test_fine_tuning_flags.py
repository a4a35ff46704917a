"""What the weights to start from tell of a training's flags."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from backbone.formats.recognise import read_network
from configs.classification import CLS_PRESETS
from configs.face_attributes import ATTR_PRESETS
from configs.face_embedding import EMBED_PRESETS
from configs.fine_grained import DOGS_PRESETS
from configs.geolocation import GEO_PRESETS
from configs.presets import Presets
from datasets.types import ClassMap
from tasks.classification.import_weights import import_network
from tasks.classification.model import Classifier, start_classifier
from tasks.weights.file import save_weights
from tests.backbone import foreign
from tools.flows.flags import read_flags


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Imported from timm, where photos are resized bicubically."""
    source = tmp_path / "timm" / "model.safetensors"
    source.parent.mkdir()
    save_file(foreign.timm_names(foreign.random_state()), source)
    (source.parent / "config.json").write_text(foreign.timm_config())
    imported = import_network(read_network(source))
    save_weights(tmp_path / "w.safetensors", imported.state(), imported.card)
    return tmp_path / "w.safetensors"


Read = Callable[..., Any]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    def flags(presets: Presets[Any], *given: object) -> Any:
        monkeypatch.setattr(sys, "argv", ["train", *map(str, given)])
        return read_flags(presets)

    return flags


@pytest.mark.slow
@pytest.mark.parametrize(
    ("presets", "crop"),
    [
        (CLS_PRESETS, 0.9),
        (DOGS_PRESETS, 0.9),
        (GEO_PRESETS, 0.9),
        (ATTR_PRESETS, 1.0),  # Faces are whole.
        (EMBED_PRESETS, 1.0),
    ],
)
def test_weights_tell_how_photos_were_seen(
    weights: Path, read: Read, presets: Presets[Any], crop: float
) -> None:
    config = read(presets, "--weights", weights)
    assert (config.interpolation, config.crop) == ("bicubic", crop)
    assert config.model.alpha == foreign.ALPHA


@pytest.mark.slow
def test_given_flags_win_and_say_so(
    weights: Path, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--weights", weights, "--interpolation", "bilinear", "--crop", 1)
    config = read(CLS_PRESETS, *given)
    assert (config.interpolation, config.crop) == ("bilinear", 1.0)
    said = "note: --interpolation bilinear: the weights have seen bicubic"
    assert said in capsys.readouterr().err
    read(CLS_PRESETS, "--weights", weights)
    assert "note" not in capsys.readouterr().err


@pytest.mark.slow
def test_either_resize_starts_from_them(weights: Path) -> None:
    classes = ClassMap.from_names(["class 2", "new"])
    card = import_network(read_network(weights.parent / "timm")).card
    for kind in ("bilinear", "bicubic"):
        seen = replace(card.flavour.input, interpolation=kind, crop=1.0)
        flavour = replace(card.flavour, input=seen)
        spec = replace(CLS_PRESETS["demo"].model)
        spec = replace(spec, alpha=foreign.ALPHA, stem_stride=2)
        assert start_classifier(Classifier(spec, 2, flavour), classes, weights)[1] == ["new"]
