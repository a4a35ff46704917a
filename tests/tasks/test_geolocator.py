"""The geolocator: its losses, heads and weights files; and the maps that are drawn of cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline
from torch.nn import functional

from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.distillation.losses import cells_loss
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TargetSource
from tasks.geolocation import s2
from tasks.geolocation.application import GEOLOCATION
from tasks.geolocation.atlas import Atlas
from tasks.geolocation.decode import place_name
from tasks.geolocation.draw import draw_place
from tasks.geolocation.load import Truth, start_geolocator, temperature_of
from tasks.geolocation.losses import hard_loss, soft_loss
from tasks.geolocation.model import Geolocator
from tasks.geolocation.partition import Partition, split_adaptively
from tasks.geolocation.rings import rings
from tasks.geolocation.spec import TASK, GeoLossSpec, PartitionSpec
from tasks.geolocation.sphere import Floats, distance_km, unit_vectors
from tasks.geolocation.teachers import open_geo_teacher
from tasks.open_model import open_model
from tasks.predictor import open_network
from tasks.weights.card import Card
from tasks.weights.file import save_weights

SMALL = ClassifierSpec(alpha=0.25, size=32)
LAST = "head.2.weight"


@pytest.fixture(scope="module")
def photos() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(3)
    return rng.uniform(-60, 70, 400), rng.uniform(-180, 180, 400)


@pytest.fixture(scope="module")
def atlas(photos: tuple[Floats, Floats]) -> Atlas:
    return Atlas(tuple(split_adaptively(*photos, most=most, least=5) for most in (100, 20)))


@pytest.fixture
def model(atlas: Atlas) -> Geolocator:
    torch.manual_seed(0)
    return Geolocator(SMALL, atlas)


def card_of(model: Geolocator, atlas: Atlas, metrics: dict[str, float] | None = None) -> Card:
    return Card(
        task=TASK,
        model=model.spec.to_json(),
        flavour=model.body.flavour,
        classes=atlas.classes,
        metrics=metrics or {},
    )


def test_hard_labels_are_cross_entropy() -> None:
    logits = torch.randn(4, 7)
    columns = torch.tensor([3, -1, 0, 6])
    wanted = functional.cross_entropy(logits[[0, 2, 3]], columns[[0, 2, 3]])
    assert hard_loss(logits, columns) == pytest.approx(wanted.item())
    assert hard_loss(logits, torch.full((4,), -1)) == 0


def test_soft_labels_by_hand() -> None:
    """A photo at a cell's mean; others one and two degrees off: 1, e^-d/tau, e^-2d/tau."""
    units = torch.from_numpy(unit_vectors(np.zeros(3), np.array([0.0, 1.0, 2.0]))).float()
    logits = torch.randn(1, 3)
    step = float(distance_km(*(np.array(v) for v in (0.0, 0.0, 0.0, 1.0))))
    labels = np.exp(-np.array([0, step, 2 * step]) / 75)
    wanted = -(labels / labels.sum()) @ functional.log_softmax(logits[0], 0).numpy()
    found = soft_loss(logits, torch.tensor([0]), units[:1], units, 75)
    assert found.item() == pytest.approx(wanted, rel=1e-4)
    hard = soft_loss(logits, torch.tensor([0]), units[:1], units, 1e-3)
    assert hard.item() == pytest.approx(hard_loss(logits, torch.tensor([0])).item(), rel=1e-4)
    assert soft_loss(logits, torch.tensor([-1]), units[:1], units, 75) == 0


def test_soft_labels_leave_nothing_out() -> None:
    """A thousand small cells side by side: the nearest few dozen hold a small part of the mass."""
    rng = np.random.default_rng(0)
    lat, lng = rng.uniform(45, 50, 3000), rng.uniform(0, 8, 3000)
    atlas = Atlas((split_adaptively(lat, lng, most=4, least=1),))
    assert len(atlas.fine) > 900
    model = Geolocator(SMALL, atlas, loss=GeoLossSpec(labels="soft"))
    cells = atlas.fine
    km = distance_km(lat[:8, None], lng[:8, None], cells.lat, cells.lng)
    labels = np.exp(-(km - km.min(axis=1, keepdims=True)) / 75)
    labels /= labels.sum(axis=1, keepdims=True)
    assert np.sort(labels, axis=1)[:, -32:].sum(axis=1).max() < 0.6
    targets = Truth(atlas, lat, lng).of(list(range(8)), torch.device("cpu"))
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    torch.manual_seed(0)
    logits = 5 * torch.randn(8, len(cells))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "raw", lambda _: logits)
        found = model.train()(images, targets)["cells"]
    logs = functional.log_softmax(logits.double(), dim=1).numpy()
    assert found.item() == pytest.approx(-(labels * logs).sum(axis=1).mean(), rel=1e-4)


@pytest.mark.slow
def test_a_student_learns_from_a_geolocator_alone(
    atlas: Atlas, photos: tuple[Floats, Floats], tmp_path: Path
) -> None:
    """Its loss is that of each head by itself, its cells are found by token, and it falls."""
    torch.manual_seed(0)
    teacher = Geolocator(SMALL, atlas)
    torch.nn.init.normal_(teacher.get_parameter(LAST), std=0.5)
    save_weights(tmp_path / "t.safetensors", teacher.state_dict(), card_of(teacher, atlas))
    spec = DistillSpec(str(tmp_path / "t.safetensors"), temperature=2.0, distill_weight=1.0)
    # Other counts, and a cell less: the rest is matched by token.
    fine = atlas.fine
    fewer = Partition(fine.ids[1:], fine.counts[1:], fine.lat[1:], fine.lng[1:])
    known = Atlas((atlas.partitions[0], fewer))
    opened = open_geo_teacher(spec, known)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    coarse, own = (part.detach() for part in teacher.eval()(images).split(atlas.sizes, dim=1))
    torch.testing.assert_close(
        opened(images), torch.cat((coarse, own[:, 1:]), dim=1), rtol=1e-3, atol=1e-3
    )
    student = Geolocator(SMALL, known)
    taught = TargetSource(spec, opened.name, "", opened).teacher_targets(0, list(range(8)))
    targets = Truth(known, *photos).of(list(range(8)), torch.device("cpu"))
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    falling = []
    for _ in range(15):
        losses = student.train()(images, targets, taught)
        assert losses.keys() == {"teacher"}, "labels do not count at --distill-weight 1"
        falling.append(losses["teacher"].item())
        optimizer.zero_grad()
        losses["teacher"].backward()
        optimizer.step()
    assert falling[-1] < 0.5 * falling[0]
    both = student(images, targets, replace(taught, spec=replace(spec, distill_weight=0.5)))
    assert both.keys() == {"cells0", "cells1", "teacher"}


def test_the_loss_of_cells_by_hand() -> None:
    ours, theirs = torch.randn(3, 7), torch.randn(3, 7)
    each = [
        4 * functional.kl_div((a / 2).log_softmax(1), (b / 2).softmax(1), reduction="batchmean")
        for a, b in zip(ours.split((2, 5), 1), theirs.split((2, 5), 1), strict=True)
    ]
    found = cells_loss(ours, theirs, (2, 5), 2.0)
    assert found.item() == pytest.approx(sum(each).item() / 2, rel=1e-5)  # type: ignore[union-attr]
    # What a teacher says of one head has no say in the other.
    shifted = theirs + torch.tensor([9.0] * 2 + [0.0] * 5)
    torch.testing.assert_close(cells_loss(ours, shifted, (2, 5), 2.0), found)


@pytest.mark.slow
def test_teachers_that_do_not_know_the_cells(
    model: Geolocator, atlas: Atlas, tmp_path: Path
) -> None:
    file = tmp_path / "t.safetensors"
    save_weights(file, model.state_dict(), card_of(model, atlas))
    rng = np.random.default_rng(9)
    other = split_adaptively(rng.uniform(-60, 70, 300), rng.uniform(-9, 9, 300), most=9, least=3)
    with pytest.raises(ValueError, match=r"is of another partition: it lacks \d+ of .* --cells"):
        open_geo_teacher(DistillSpec(str(file)), Atlas((other,)))
    with pytest.raises(ValueError, match="timm:resnet18: no such run folder or weights file"):
        open_geo_teacher(DistillSpec("timm:resnet18"), atlas)
    save_weights(file, model.state_dict(), replace(card_of(model, atlas), task="classification"))
    with pytest.raises(ValueError, match="are for classification, not for geolocation"):
        open_geo_teacher(DistillSpec(str(file)), atlas)


@pytest.mark.slow
def test_each_head_has_its_loss(
    model: Geolocator, atlas: Atlas, photos: tuple[Floats, Floats]
) -> None:
    truth = Truth(atlas, *photos)
    targets = truth.of([5, 6, 7, 8], torch.device("cpu"))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    for labels in ("hard", "soft"):
        model.loss = GeoLossSpec(labels=labels)
        losses = model.train()(images, targets)
        assert losses.keys() == {"cells0", "cells1"}
        sum(losses.values()).backward()
        assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(AssertionError, match="training needs targets"):
        model(images)


@pytest.mark.slow
def test_a_batch_is_learnt_by_heart(atlas: Atlas, photos: tuple[Floats, Floats]) -> None:
    torch.manual_seed(0)
    model = Geolocator(SMALL, atlas, loss=GeoLossSpec(labels="hard"))
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    targets = Truth(atlas, *photos).of(list(range(8)), torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(40):
        loss = sum(model.train()(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3


def test_coarser_heads_are_added(model: Geolocator, atlas: Atlas) -> None:
    logits = torch.randn(2, sum(atlas.sizes))
    coarse, fine = (functional.log_softmax(p, 1) for p in logits.split(atlas.sizes, 1))
    wanted = fine + coarse[:, torch.from_numpy(atlas.ancestors[0])]
    torch.testing.assert_close(model.combine(logits), wanted)
    alone = Geolocator(SMALL, Atlas(atlas.partitions[1:]))
    plain = torch.randn(2, atlas.sizes[1])
    assert torch.equal(alone.combine(plain), plain)


@pytest.mark.slow
def test_a_weights_file_predicts_alone(model: Geolocator, atlas: Atlas, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, model.state_dict(), card_of(model, atlas, {"temperature": 1.7}))
    opened = open_model(file)
    again, card = opened.network, opened.card
    assert again is not None
    assert again.sizes == atlas.sizes
    assert temperature_of(card) == 1.7
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(again(images), model.eval()(images))
    predictor = opened.predictor("cpu")
    picture = images[0].permute(1, 2, 0).numpy()
    [found] = predictor([picture])
    assert found.answered
    assert sum(found.probabilities) >= 0.9 - 1e-6
    assert sum(found.probabilities[:-1]) < 0.9
    drawn = draw_place(picture, found, atlas.fine, (10.0, 20.0))
    assert drawn.shape[1:] == (360, 3)
    assert drawn.shape[0] > 360 + 180  # The photo, the cells, the map.
    assert predictor([]) == []


@pytest.mark.slow
def test_weights_that_do_not_fit_themselves(
    model: Geolocator, atlas: Atlas, tmp_path: Path
) -> None:
    file, card, state = tmp_path / "w.safetensors", card_of(model, atlas), model.state_dict()
    save_weights(file, state, replace(card, task="classification"))
    with pytest.raises(ValueError, match="are for classification, not for geolocation"):
        open_network(file, GEOLOCATION)
    save_weights(file, state, replace(card, classes=ClassMap.from_names(["1", "3"], 0)))
    with pytest.raises(ValueError, match="the card names 2 cells, which are not the"):
        open_network(file, GEOLOCATION)
    save_weights(file, {k: v for k, v in state.items() if k != "cells"}, card)
    with pytest.raises(ValueError, match="the weights hold no cells"):
        open_network(file, GEOLOCATION)
    save_weights(file, {**state, "cells": torch.zeros(3, 4, dtype=torch.int64)}, card)
    with pytest.raises(ValueError, match="numbers that are no S2 cells"):
        open_network(file, GEOLOCATION)


@pytest.mark.slow
def test_starting_from_other_weights(model: Geolocator, atlas: Atlas, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, model.state_dict(), card_of(model, atlas))
    same, other = (Geolocator(SMALL, a) for a in (atlas, Atlas(atlas.partitions[1:])))
    assert start_geolocator(same, file)[1]
    assert torch.equal(same.get_parameter(LAST), model.get_parameter(LAST))
    before = other.get_parameter(LAST).clone()
    assert not start_geolocator(other, file)[1]
    assert torch.equal(other.get_parameter(LAST), before)
    assert torch.equal(
        other.body.state_dict()["layers.0.conv.weight"],
        model.body.state_dict()["layers.0.conv.weight"],
    )
    classifier = Classifier(SMALL, 3)
    names = ClassMap.from_names(["a", "b", "c"])
    card = Card("classification", SMALL.to_json(), classifier.body.flavour, names)
    save_weights(file, classifier.state_dict(), card)
    assert not start_geolocator(same, file)[1]
    wide = Geolocator(replace(SMALL, alpha=0.5), atlas)
    with pytest.raises(ValueError, match=r"alpha 0.25, the model to train 0.5"):
        start_geolocator(wide, file)


@pytest.mark.parametrize("level", [0, 1, 2, 4])
def test_outlines_hold_their_points_alone(level: int) -> None:
    """Near the poles and the antimeridian too, where outlines are cut or go along the edge."""
    rng = np.random.default_rng(level)
    lat = np.concatenate((np.degrees(np.arcsin(rng.uniform(-1, 1, 80))), [89.5, -89.5, 5, 5, 60]))
    lng = np.concatenate((rng.uniform(-180, 180, 80), [-100, 170.3, 179.97, -179.97, -179.9]))
    # Outlines are made of chords: points keep away from the edges by a part of their cell.
    lat, lng = s2.centres(s2.parents(s2.cell_ids(lat, lng), level + 2))
    if level < 3:
        lat = np.append(lat, [89.9, -89.9] * 4)
        lng = np.append(lng, [-170, -95, -5, 3, 88, 92, 177, 179.9])
    own = s2.parents(s2.cell_ids(lat, lng), level)
    ids = np.unique(own)
    polygons, owners = rings(ids)
    outlines = [Outline(polygon) for polygon in polygons]
    for place, cell in zip(zip(lng, lat, strict=True), own.tolist(), strict=True):
        holds = [outline.contains_point(place) for outline in outlines]
        assert set(ids[owners[holds]].tolist()) == {cell}, place


def test_places_as_people_write_them() -> None:
    assert place_name(48.8584, 2.2945) == "48.86 N, 2.29 E"
    assert place_name(-33.857, -151.2) == "33.86 S, 151.20 W"


@pytest.mark.parametrize(
    ("count", "spec", "wanted"),
    [
        (5_000_000, PartitionSpec(), ((10_000,), 50)),
        (20_000, PartitionSpec(), ((200,), 10)),
        (300, PartitionSpec(), ((50,), 5)),
        (300, PartitionSpec((3,)), ((3,), 3)),
        (9, PartitionSpec((5000, 2000, 1000), 50), ((5000, 2000, 1000), 50)),
    ],
)
def test_thresholds(count: int, spec: PartitionSpec, wanted: tuple[tuple[int, ...], int]) -> None:
    assert spec.resolve(count) == wanted
