"""Geolocators that learn from another: stored answers, resume, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.common import Common
from configs.geolocation import DEMO_GEO, TrainGeo
from datasets.builtin.places import draw_places
from tasks.body_spec import ClassifierSpec
from tasks.distillation.spec import DistillSpec
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.model import Geolocator
from tasks.geolocation.partition import split_adaptively
from tasks.geolocation.spec import TASK, PartitionSpec
from tasks.geolocation.teachers import open_geo_teacher
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.tools.runs import assert_same_run
from tests.tools.stopping import stop_at
from tools.flows.photo_loaders import training_loader
from tools.flows.teacher_targets import open_target_source
from tools.flows.training import train
from tools.geolocation.cell_lists import write_all_cells
from tools.geolocation.data import as_labelled, in_cells, make_atlas, open_parts
from tools.geolocation.recipe import GEOLOCATION_RECIPE

LAST = "head.2.weight"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "places"
    return draw_places(root, num_photos=80, num_authors=20, size=32)


@pytest.fixture(params=[1, 2], ids=["one head", "two heads"])
def config(request: pytest.FixtureRequest, places: Path, tmp_path: Path) -> TrainGeo:
    """Of a student, and its teacher: random weights, in a folder with their cells."""
    above = (30, 10)[-request.param :]
    config = replace(
        DEMO_GEO,
        data=places,
        model=replace(DEMO_GEO.model, size=32),
        partition=PartitionSpec(above, 2),
        fit=replace(DEMO_GEO.fit, epochs=1, batch_size=16, precision="fp32", save_minutes=1e-6),
        distill=DistillSpec(str(tmp_path / "teacher"), targets=tmp_path / "t"),
        workers=0,
    )
    atlas = make_atlas((), config.partition, open_parts(config, places).train)
    torch.manual_seed(0)
    spec = ClassifierSpec(alpha=0.1, size=48)
    model = Geolocator(spec, atlas)
    torch.nn.init.normal_(model.get_parameter(LAST), std=0.5)
    card = Card(TASK, spec.to_json(), model.body.flavour, atlas.classes)
    (tmp_path / "teacher").mkdir()
    save_weights(tmp_path / "teacher" / "model.safetensors", model.state_dict(), card)
    write_all_cells(tmp_path / "teacher", atlas.partitions)
    return config


@pytest.mark.slow
def test_stored_answers_are_the_living_teachers(config: TrainGeo, places: Path) -> None:
    """To the pictures as the student sees them, head by head."""
    config = replace(config, distill=replace(config.distill, top_k=500))
    train = open_parts(config, places).train
    atlas = make_atlas((), config.partition, train)
    train = in_cells(train, atlas)
    heads = len(atlas.partitions)
    target_source = open_target_source(
        config,
        as_labelled(train, atlas.columns),
        "cpu",
        find=lambda spec, _: open_geo_teacher(spec, atlas),
        answers="classes" if heads == 1 else "values",
    )
    assert target_source is not None
    living = open_geo_teacher(config.distill, atlas)
    for batch in training_loader(config, as_labelled(train), 0):
        stored = target_source.teacher_targets(0, batch["image_ids"]).answers(batch["images"])
        pairs = (one.split(atlas.sizes, 1) for one in (stored, living(batch["images"])))
        for ours, theirs in zip(*pairs, strict=True):
            torch.testing.assert_close(
                ours.log_softmax(1), theirs.log_softmax(1), rtol=2e-3, atol=2e-3
            )


@pytest.mark.slow
def test_a_resumed_student_is_the_same(config: TrainGeo, tool: Tool, tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(GEOLOCATION_RECIPE, replace(config, common=Common(out=straight)), report=False)
    assert f"taught by {config.distill.teacher}," in read_card(straight).source
    again = replace(config, common=Common(out=stopped))
    with pytest.MonkeyPatch.context() as patch:
        stop_at(2, patch)
        with pytest.raises(SystemExit):
            train(GEOLOCATION_RECIPE, again)
    status, _, err = tool("train_geo", "--resume", stopped, report=False)
    assert status == 0, err
    assert "targets stored in" in err
    assert_same_run(straight, stopped)
    assert len(torch.load(straight / "last.ckpt")["teacher"]) == 64


@pytest.mark.slow
def test_another_teacher_or_partition_is_refused(config: TrainGeo, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lat, lng = rng.uniform(-60, 60, 200), rng.uniform(-170, 170, 200)
    other = Atlas((split_adaptively(lat, lng, most=9, least=3),))
    write_all_cells(tmp_path / "other", other.partitions)
    with pytest.raises(ValueError, match=r"is of another partition: it lacks \d+ of"):
        train(
            GEOLOCATION_RECIPE,
            replace(
                config,
                cells=(tmp_path / "other" / "cells.csv",),
                common=Common(out=tmp_path / "x"),
            ),
        )
    assert not (tmp_path / "x").exists()
    run = replace(
        config, distill=replace(config.distill, targets=None), common=Common(out=tmp_path / "y")
    )
    with pytest.MonkeyPatch.context() as patch:
        stop_at(2, patch)
        with pytest.raises(SystemExit):
            train(GEOLOCATION_RECIPE, run)
    file = tmp_path / "teacher"
    state, card = load_weights(file)
    state[LAST] += 1e-3
    save_weights(file / "model.safetensors", state, card)
    with pytest.raises(ValueError, match="has other weights than when the run began"):
        train(GEOLOCATION_RECIPE, replace(run, resume=tmp_path / "y"))
