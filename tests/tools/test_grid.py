"""Grids of every application: what may be varied, how runs are called, what is refused."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from configs.detection import TrainDet, detector_presets
from configs.face_embedding import TrainEmbed
from configs.fine_grained import DEMO_DOGS
from configs.geolocation import TrainGeo
from datasets.builtin.places import draw_places
from datasets.builtin.shapes_and_breeds import draw_breeds, draw_web
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.detection.faster_rcnn import FasterRCNN
from tasks.detection.spec import DetectorSpec, LossSpec
from tasks.detection.ssd import SSD
from tasks.face_attributes.model import AttributeNet
from tasks.face_embedding.model import FaceEmbedder
from tasks.face_embedding.spec import EmbedderSpec
from tasks.geolocation.model import Geolocator
from tests.conftest import Tool
from tools.detection.recipe import DETECTION_RECIPE
from tools.face_embedding.recipe import EMBEDDING_RECIPE
from tools.fine_grained.recipe import FINE_GRAINED_RECIPE
from tools.flows.grid import expand
from tools.geolocation.recipe import GEOLOCATION_RECIPE
from tools.recipes import RECIPES

NETWORKS: dict[str, tuple[Any, type[nn.Module]]] = {
    "classification": (ClassifierSpec(), Classifier),
    "fine-grained classification": (ClassifierSpec(), Classifier),
    "detection": (DetectorSpec(), SSD),
    "geolocation": (ClassifierSpec(), Geolocator),
    "face_attributes": (ClassifierSpec(), AttributeNet),
    "face_embedding": (EmbedderSpec(), FaceEmbedder),
}


@pytest.mark.slow
def test_each_recipe_sketches_its_own_network() -> None:
    assert {recipe.name for recipe in RECIPES} == NETWORKS.keys()
    for recipe in RECIPES:
        spec, kind = NETWORKS[recipe.name]
        with torch.device("meta"):
            network = recipe.sketch(spec)
        assert type(network) is kind
        assert next(network.parameters()).is_meta, "it takes no memory"
    with torch.device("meta"):
        assert isinstance(DETECTION_RECIPE.sketch(DetectorSpec("faster_rcnn_300")), FasterRCNN)


@pytest.mark.slow
def test_detectors_of_several_frameworks_have_their_own_sizes_and_losses() -> None:
    config = detector_presets()["demo"]
    assert config.loss != LossSpec()
    grid = ("framework=ssd300,faster_rcnn_600", "alpha=.5", "+", "lr=.001", "epochs=2")
    runs = dict(expand(DETECTION_RECIPE, replace(config, grid=grid)))
    assert list(runs) == [
        "mobilenet_v1-a0.5-300-ssd300-seed0",
        "mobilenet_v1-a0.5-600-faster_rcnn_600-seed0",
        "mobilenet_v1-a0.25-300-lr0.001-epochs2-seed0",
    ]
    ssd, rcnn, other = runs.values()
    assert (ssd.loss, rcnn.loss) == (config.loss, LossSpec())
    assert other.model == config.model
    assert not any(run.grid for run in runs.values())


@pytest.mark.slow
def test_another_framework_leaves_what_is_not_its_own() -> None:
    config = detector_presets("faster_rcnn_300")["demo"]
    assert config.model.roi_pool
    grid = ("framework=faster_rcnn_300,ssd300", "+", "backbone=vgg16", "+", "roi_pool=true,false")
    runs = dict(expand(DETECTION_RECIPE, replace(config, grid=grid)))
    assert list(runs) == [
        "mobilenet_v1-a0.25-300-faster_rcnn_300-seed0",
        "mobilenet_v1-a0.25-300-ssd300-seed0",
        "vgg16-300-seed0",
        "mobilenet_v1-a0.25-300-roi_pool-seed0",
        "mobilenet_v1-a0.25-300-no_roi_pool-seed0",
    ]
    assert [run.model.roi_pool for run in runs.values()] == [True, False, False, True, False]
    assert runs["vgg16-300-seed0"].model.alpha == 1


def test_whatever_the_network_has_may_be_varied() -> None:
    grid = ("dim=64,32", "+", "batch-size=8", "optimizer=adamw")
    runs = dict(expand(EMBEDDING_RECIPE, replace(TrainEmbed(), grid=grid)))
    assert list(runs) == [
        "mobilenet_v1-a1-112-dim64-seed0",
        "mobilenet_v1-a1-112-dim32-seed0",
        "mobilenet_v1-a1-112-batch_size8-adamw-seed0",
    ]
    assert [run.model.dim for run in runs.values()] == [64, 32, 128]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (("framework=yolo",), "unknown framework 'yolo': choose one of ssd300"),
        (("roi_pool=1",), "--grid roi_pool=1: '1' is neither true nor false"),
        (("backbone=vgg16", "size=200"), "--size 200 is too small: SSD on VGG16 needs 268"),
        (("backbone=vgg16", "head=ssd"), "--grid head=...: only mobilenet_v1 takes it"),
        (("stem_stride=1",), "--grid stem_stride=1: write KEY=VALUE,VALUE with one of framework"),
    ],
)
def test_impossible_detectors(grid: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        expand(DETECTION_RECIPE, replace(TrainDet(), grid=grid))


@pytest.mark.slow
def test_a_geolocator_that_cannot_be_built() -> None:
    grid = ("backbone=inception_v3", "size=64")
    with pytest.raises(ValueError, match="--grid: inception_v3-64-seed0: --size 64 is too small"):
        expand(GEOLOCATION_RECIPE, replace(TrainGeo(), grid=grid))


@pytest.mark.slow
def test_a_grid_of_geolocators_goes_on(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = draw_places(tmp_path / "places", num_photos=160, num_authors=40, size=32)
    folder = tmp_path / "grid"
    small = ("--preset", "demo", "--size", 32, "--batch-size", 16, "--epochs", 1, "--workers", 0)
    cells, grid = ("--split-above", 40, "--drop-below", 2), ("--grid", "width=.1,.15", "seed=0,1")
    args = ("--data", places, "--out", folder, *small, *cells, *grid)
    status, text, err = tool("train_geo", *args, report=False)
    assert status == 0, err
    rows = json.loads((folder / "grid.json").read_text())
    assert [(row["network"], row["seeds"]) for row in rows] == [
        ("mobilenet_v1-a0.1-32", 2),
        ("mobilenet_v1-a0.15-32", 2),
    ]
    assert all(0 < row["geoscore"] < 5000 for row in rows)
    assert "GeoScore over mult-adds" in (folder / "grid.html").read_text()
    monkeypatch.setattr("tools.flows.grid.train", partial(pytest.fail, "trained again"))
    status, again, err = tool("train_geo", "--resume", folder)
    assert status == 0, err
    assert again == text


@pytest.mark.slow
def test_a_grid_of_detectors(tool: Tool, scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    small = ("--preset", "demo", "--batch-size", 4, "--epochs", 1, "--workers", 0)
    grid = ("--grid", "alpha=.1", "size=64,96")
    args = ("--data", scenes, "--out", folder, *small, *grid)
    status, text, err = tool("train_det", *args, report=False)
    assert status == 0, err
    rows = json.loads((folder / "grid.json").read_text())
    assert [row["model"]["size"] for row in rows] == [64, 96]
    assert rows[0]["mult_adds"] < rows[1]["mult_adds"]
    assert all(0 <= row["AP"] <= 1 for row in rows)
    assert "mobilenet_v1-a0.1-96" in text


@pytest.mark.slow
def test_each_run_of_a_fine_grained_grid_has_its_own_stages(tool: Tool, tmp_path: Path) -> None:
    breeds = draw_breeds(tmp_path / "breeds", num_train=4, num_val=2, size=64)
    web = draw_web(tmp_path / "web", num=5, copies=1, strays=2, size=64)
    assert FINE_GRAINED_RECIPE.application.name == "classification"
    folder = tmp_path / "grid"
    small = ("--size", 32, "--batch-size", 16, "--epochs", 1, "--web-epochs", 1, "--workers", 0)
    args = ("--preset", DEMO_DOGS.preset, *small, "--copy-bits", 2, "--grid", "alpha=.1,.15")
    more = ("--data", breeds, "--web", web, "--out", folder)
    status, _, err = tool("train_dogs", *args, *more, report=False)
    assert status == 0, err
    for alpha in ("0.1", "0.15"):
        inside = folder / f"mobilenet_v1-a{alpha}-32-seed0"
        assert (inside / "web" / "stage.json").exists()
        told = json.loads((inside / "report.json").read_text())["facts"]["first stage"]
        assert str(inside / "web") in told
