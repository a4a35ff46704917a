"""Weights to and from the hub by its real client, against a hub on this machine."""

import builtins
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.types import COCO_CLASSES, ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.classification.network import classifier_cost
from tasks.detection.model import build_detector
from tasks.detection.spec import DetectorSpec
from tasks.face_attributes.model import AttributeNet
from tasks.face_embedding.load import NO_CLASSES, describe_model
from tasks.face_embedding.load import TASK as EMBEDDING
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.network import embedder_cost
from tasks.face_embedding.spec import EmbedderSpec
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import Geolocator
from tasks.geolocation.partition import split_adaptively
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.datasets.label_fakes import save_photos
from tests.tools.fake_hub import TOKEN, fake_hub
from tests.tools.mistakes import expect
from tests.tools.weights_files import save_classifier
from tools.flows.model_card import public_card, without_folders

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A hub with its own cache, to which we are logged in."""
    with fake_hub(tmp_path / "hub") as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(
            constants.ENDPOINT, server.address
        )
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_classifier(
        tmp_path / "w.safetensors",
        ["cat", "dog"],
        metrics={"top1": 0.75, "loss": 0.5},
        source="trained from scratch on /home/somebody/pets",
    )


@pytest.mark.slow
def test_there_and_back(hub: Any, weights: Path, tool: Tool, tmp_path: Path) -> None:
    """What is sent is what is fetched, and the other tools take it."""
    args = ("--out", tmp_path / "sent", "--licence", "apache-2.0", "--origin", "own images")
    status, text, err = tool("upload", weights, "me/pets", *args, "--json")
    assert status == 0, err
    said = json.loads(text)
    assert said["page"] == f"{hub.address}/me/pets"
    page = tmp_path / "hub/me/pets"
    names = {file.name for file in page.iterdir()}
    assert names == {"model.safetensors", "README.md", ".visibility"}
    assert (page / ".visibility").read_text() == "private"
    for name, size in said["files"].items():
        assert (page / name).read_bytes() == (tmp_path / "sent" / name).read_bytes()
        assert (page / name).stat().st_size == size
    assert "/home/" not in (page / "README.md").read_text()
    out = tmp_path / "back.safetensors"
    status, _, err = tool("download", "me/pets", "--out", out)
    assert status == 0, err
    (state, card), (fetched, same) = load_weights(weights), load_weights(out)
    assert all(torch.equal(value, fetched[name]) for name, value in state.items())
    assert (same.source, same.classes, same.metrics) == ("own images", card.classes, card.metrics)
    save_photos(tmp_path / "photos", ["a.png"])
    status, text, err = tool("predict", out, tmp_path / "photos", "--out", tmp_path / "seen")
    assert status == 0, err


@pytest.mark.slow
def test_the_page_says_what_it_is(
    weights: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text, err = tool("upload", weights, "me/pets", "--dry-run", "--licence", "mit")
    assert status == 0, err
    assert "nothing was sent" in text
    assert "origin: trained from scratch on pets" in text  # What would be told is shown.
    page = (tmp_path / "uploads/pets/README.md").read_text()
    for part in (
        "pipeline_tag: image-classification",
        "license: mit",
        "alpha 0.25",
        "0.214 M params",
        "32x32 pixels, RGB",
        "| top1 | 0.750 | share of images",
        "## Classes (2)\n\ncat, dog",
        "tools/download.py me/pets",
        "tools/predict.py pets.safetensors photo.jpg",
    ):
        assert part in page, part
    card = read_card(weights)
    assert read_card(tmp_path / "uploads/pets") == replace(
        card, source="trained from scratch on pets"
    )


@pytest.mark.slow
def test_nothing_is_sent_unasked(hub: Any, weights: Path, tool: Tool, tmp_path: Path) -> None:
    args = ("--out", tmp_path / "sent", "--dry-run")
    assert tool("upload", weights, "me/pets", *args)[0] == 0
    expect(tool("download", "me"), "me: a model on the hub is named OWNER/NAME")
    assert not hub.asked


@pytest.mark.slow
@pytest.mark.usefixtures("hub")
def test_a_public_page(weights: Path, tool: Tool, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "sent")
    status, _, err = tool("upload", weights, "me/pets", "--public", *out)
    assert status == 0, err
    assert (tmp_path / "hub/me/pets/.visibility").read_text() == "public"


@pytest.mark.slow
def test_a_detector_and_a_body_have_pages_too(tool: Tool, tmp_path: Path) -> None:
    model = build_detector(DetectorSpec(alpha=0.25), COCO_CLASSES)
    boxes = Card(
        task="detection",
        model=model.spec.to_json(),
        flavour=model.body.flavour,
        classes=COCO_CLASSES,
        metrics={"AP": 0.25, "AP_small": -1.0},
    )
    body = Card("body", {"alpha": 0.25}, boxes.flavour, ClassMap((), ()))
    parts = ("pipeline_tag: object-detection", "0.109 B mult-adds", "| AP | 0.250 | average prec")
    for card, said in ((boxes, parts), (body, ("tools/train_det.py --weights",))):
        save_weights(tmp_path / "w.safetensors", model.state_dict(), card)
        out = tmp_path / card.task
        args = (tmp_path / "w.safetensors", "me/it", "--out", out, "--dry-run")
        status, _, err = tool("upload", *args)
        assert status == 0, err
        page = (out / "README.md").read_text()
        assert all(part in page for part in said), page
        assert "AP_small" not in page


def _page(tool: Tool, folder: Path, card: Card, state: dict[str, torch.Tensor]) -> str:
    """What upload.py would send to people."""
    folder.mkdir()
    save_weights(folder / "w.safetensors", state, card)
    args = (folder / "w.safetensors", "me/it", "--out", folder / "sent", "--dry-run")
    status, _, err = tool("upload", *args)
    assert status == 0, err
    return (folder / "sent/README.md").read_text()


@pytest.mark.slow
def test_the_page_of_a_geolocator_counts_its_cells(tool: Tool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lat, lng = rng.uniform(-60, 60, 4000), rng.uniform(-180, 180, 4000)
    parts = tuple(split_adaptively(lat, lng, most=most, least=1) for most in (400, 20))
    atlas = Atlas(parts)
    assert atlas.sizes[1] > 200
    model = Geolocator(ClassifierSpec(alpha=0.25, size=64), atlas)
    metrics = {"km200": 0.5, "km200_low": 0.4, "geoscore": 3000.0}
    card = Card("geolocation", model.spec.to_json(), model.body.flavour, atlas.classes, metrics)
    page = _page(tool, tmp_path / "geo", card, model.state_dict())
    assert f"## Cells ({len(atlas.fine)})" in page
    assert atlas.fine.tokens[0] not in page
    assert len(page) < 2500
    cost = classifier_cost(model.spec, sum(atlas.sizes))
    for part in (str(cost), "| km200 | 0.500 | within 200 km", "without their consent is misuse"):
        assert part in page, part
    assert "tools/train_geo.py --weights it.safetensors --data PATH" in page


@pytest.mark.slow
def test_the_pages_of_faces(tool: Tool, tmp_path: Path) -> None:
    spec = ClassifierSpec(alpha=0.25, size=64)
    net = AttributeNet(spec, 2)
    names = ClassMap.from_names(["Smiling", "Eyeglasses"], 0)
    card = Card(
        "face_attributes", spec.to_json(), net.body.flavour, names, {"mean_ap": 0.7, "loss": 0.5}
    )
    page = _page(tool, tmp_path / "attr", card, net.state_dict())
    for part in (
        "## Attributes (2)\n\nSmiling, Eyeglasses",
        "| mean_ap | 0.700 | mean average precision",
        f"| cost of an image | {classifier_cost(spec, 2)} |",
        "Do not infer sex",
        "tools/train_attr.py --weights",
    ):
        assert part in page, part
    faces = EmbedderSpec(alpha=0.25, size=64, dim=8)
    embedder = FaceEmbedder(faces)
    told = describe_model(faces, "funneled")
    card = Card(EMBEDDING, told, embedder.body.flavour, NO_CLASSES, {"accuracy": 0.9})
    page = _page(tool, tmp_path / "embed", card, embedder.state_dict())
    for part in (
        "pipeline_tag: image-feature-extraction",
        "| faces stand | funneled |",
        "| accuracy | 0.900 | share of pairs",
        f"| cost of an image | {embedder_cost(faces)} |",
        "Do not identify people who have not agreed",
        "tools/predict.py it.safetensors photo.jpg --gallery people/",
    ):
        assert part in page, part
    assert "## Classes" not in page


@pytest.mark.slow
def test_the_page_of_many_classes_names_a_few(tool: Tool, tmp_path: Path) -> None:
    spec = ClassifierSpec(alpha=0.25, size=32)
    model = Classifier(spec, 120)
    names = ClassMap.from_names([f"breed {k}" for k in range(120)], 0)
    card = Card("classification", spec.to_json(), model.body.flavour, names)
    page = _page(tool, tmp_path / "cls", card, model.state_dict())
    assert "## Classes (120)\n\nbreed 0, breed 1," in page
    assert "breed 9, and 110 more, which the weights carry" in page
    assert "breed 10" not in page


@pytest.mark.slow
@pytest.mark.usefixtures("hub")
def test_what_the_hub_refuses(
    weights: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--out", tmp_path / "out")
    expect(tool("download", "me/none", *out), "me/none: cannot be had from the hub", "404")
    (tmp_path / "hub/me/other").mkdir(parents=True)
    (tmp_path / "hub/me/other/model.safetensors").write_bytes(b"no weights")
    expect(tool("download", "me/other", *out), "not a whole safetensors file")
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    expect(tool("upload", weights, "me/pets", *out), "me/pets: cannot be sent", "401")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    expect(tool("upload", weights, "me/pets", *out), "nobody is logged in", "hf auth login")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    expect(tool("download", "me/pets", "--out", tmp_path / "no"), "me/pets: cannot be had")
    assert not (tmp_path / "no").exists()


def test_what_is_there_stays(hub: Any, weights: Path, tool: Tool) -> None:
    before = weights.read_bytes()
    expect(tool("download", "me/pets", "--out", weights), f"--out {weights}: is there already")
    answer = tool("upload", weights, "me/pets", "--out", weights.parent)
    expect(answer, "holds other files")
    assert weights.read_bytes() == before
    assert not hub.asked


@pytest.mark.slow
def test_without_the_client(
    weights: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return inner(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    out = ("--out", tmp_path / "out")
    for answer in (tool("download", "me/x", *out), tool("upload", weights, "me/x", *out)):
        expect(answer, "me/x: the hub needs huggingface_hub: pip install huggingface_hub")


def test_heads_and_old_cards_tell_no_folders(weights: Path) -> None:
    card = replace(read_card(weights), trained_on={"path": "/home/me/x", "held_out": True})
    several = replace(card, model={"heads": {"a": card.to_json()}, "trained_on": "/home/me/x"})
    told = public_card(several)
    assert "/home/" not in str(told.to_json())
    assert told.model["trained_on"] == "x"
    assert told.trained_on == {"held_out": True}
    assert public_card(several, "own").model["heads"]["a"]["source"] == "own"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "trained on pets by tools/train_cls.py --data '/home/me/a client/x' --out ../runs/a",
            "trained on pets by tools/train_cls.py --data 'x' --out a",
        ),
        (r"from C:\Users\me\w.safetensors on ~/data/dogs/", "from w.safetensors on dogs/"),
        ('--data=/a/b/c --weights "/a b/c d.safetensors"', '--data=c --weights "c d.safetensors"'),
        ("imported from https://host.org/a/b, timm/mobilenetv1_100", None),
    ],
)
def test_folders_of_the_own_machine_are_not_told(words: str, told: str | None) -> None:
    assert without_folders(words) == (words if told is None else told)
