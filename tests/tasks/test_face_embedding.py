"""Losses of embeddings, the network, its weights, and who may teach it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from datasets.types import ClassMap
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TeacherTargets
from tasks.face_embedding.alignment import refuse_other_alignment
from tasks.face_embedding.answer import nearest
from tasks.face_embedding.application import FACE_EMBEDDING
from tasks.face_embedding.draw import draw_neighbours
from tasks.face_embedding.load import (
    NO_CLASSES,
    TrainedOn,
    describe_model,
    digest_of,
    embedder_spec,
    start_embedder,
    trained_on,
)
from tasks.face_embedding.losses import MarginHead, squared_distances, triplet_loss
from tasks.face_embedding.model import FaceEmbedder, unit
from tasks.face_embedding.network import embedder_cost
from tasks.face_embedding.spec import EmbedderSpec, EmbedLossSpec, FaceSpec
from tasks.face_embedding.teachers import open_embedding_teacher
from tasks.face_embedding.use import TASK
from tasks.predictor import open_network
from tasks.weights.card import Card
from tasks.weights.file import save_weights

SMALL = EmbedderSpec(alpha=0.1, size=32, dim=6)


def at_angles(*degrees: float) -> Tensor:
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack((angles.cos(), angles.sin()), dim=1)


def brute_force(embeddings: Tensor, labels: list[int], margin: float) -> float:
    distances = squared_distances(embeddings, embeddings).tolist()
    losses = []
    for a, mine in enumerate(labels):
        others = [distances[a][n] for n, who in enumerate(labels) if who != mine]
        for p, who in enumerate(labels):
            if p == a or who != mine or not others:
                continue
            farther = [d for d in others if d > distances[a][p]]
            negative = min(farther) if farther else max(others)
            losses.append(max(0.0, distances[a][p] - negative + margin))
    return float(np.mean(losses)) if losses else 0.0


def test_triplets_by_hand() -> None:
    """One pair of a person at 60 degrees (distance 1), others at 90 (2) and at 10."""
    embeddings = at_angles(0, 60, 90)
    labels = torch.tensor([0, 0, 1])
    # From 0: the negative at 90 degrees is farther than the positive: 1 - 2 + 1.5 = .5.
    # From 60: the only negative is nearer (30 degrees, .268) and is taken: 1 - .268 + 1.5.
    near = 2 - 2 * np.cos(np.pi / 6)
    wanted = (0.5 + 1 - near + 1.5) / 2
    assert float(triplet_loss(embeddings, labels, 1.5)) == pytest.approx(wanted, abs=1e-5)


def test_triplets_are_those_found_one_by_one() -> None:
    torch.manual_seed(0)
    embeddings = functional.normalize(torch.randn(24, 5), dim=1)
    labels = torch.randint(0, 5, (24,))
    wanted = brute_force(embeddings, labels.tolist(), 0.3)
    assert float(triplet_loss(embeddings, labels, 0.3)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
def test_a_batch_without_triplets(labels: list[int]) -> None:
    embeddings = at_angles(0, 50, 90).requires_grad_()
    loss = triplet_loss(embeddings, torch.tensor(labels), 0.2)
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_the_margin_is_taken_from_the_right_cosine() -> None:
    head = MarginHead(2, 3, margin=0.35, scale=10)
    head.directions.data = 7 * at_angles(0, 90, 180)
    found = head(at_angles(30), torch.tensor([0])).detach()
    cosines = torch.tensor([[np.cos(np.pi / 6) - 0.35, 0.5, -np.cos(np.pi / 6)]])
    assert float(found) == pytest.approx(
        float(functional.cross_entropy(10 * cosines, torch.tensor([0]))), rel=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["margin", "triplet"])
def test_a_batch_can_be_learnt(objective: str) -> None:
    torch.manual_seed(0)
    loss = EmbedLossSpec(objective=objective)  # type: ignore[arg-type]
    model = FaceEmbedder(SMALL, loss=loss, num_identities=3).train()
    images = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(9) % 3
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(40):
        optimizer.zero_grad()
        total = torch.stack(list(model(images, labels).values())).sum()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        embeddings = unit(model.raw(images))
    distances = squared_distances(embeddings, embeddings)
    same = labels[:, None] == labels[None]
    assert distances[same].max() < distances[~same].min()


def test_a_student_takes_its_teachers_direction() -> None:
    """Whatever the length: only what is left of the share is learnt from identities."""
    torch.manual_seed(0)
    model = FaceEmbedder(SMALL, num_identities=2).train()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        own = model.raw(images)
    labels = torch.tensor([0, 1, 0, 1])
    alone = model(
        images,
        labels,
        TeacherTargets(lambda _: 9 * own, DistillSpec(teacher="x", distill_weight=1)),
    )
    assert alone.keys() == {"teacher"}
    assert alone["teacher"].item() == pytest.approx(0, abs=1e-5)
    turned = model(
        images,
        labels,
        TeacherTargets(lambda _: -own, DistillSpec(teacher="x", distill_weight=0.75)),
    )
    assert turned["teacher"].item() == pytest.approx(0.75 * 4, rel=1e-4)
    assert turned["margin"].item() == pytest.approx(
        0.25 * model(images, labels)["margin"].item(), rel=1e-3
    )


def save(path: Path, alignment: str, spec: EmbedderSpec = SMALL) -> Path:
    model = FaceEmbedder(spec)
    flavour = model.body.flavour
    card = Card(TASK, describe_model(spec, alignment), flavour, NO_CLASSES)
    save_weights(path, model.state_dict(), card)
    return path


@pytest.mark.slow
def test_weights_come_back_with_their_alignment(tmp_path: Path) -> None:
    path = save(tmp_path / "w.safetensors", "five_points")
    model, card = open_network(path, FACE_EMBEDDING)
    assert model.spec == SMALL
    assert "margin_head.directions" not in model.state_dict()
    refuse_other_alignment(card, path, "five_points", "data")
    with pytest.raises(
        ValueError, match=r"trained on faces of alignment 'five_points', but those of"
    ):
        refuse_other_alignment(card, path, "none", "data")
    plain = replace(card, model=SMALL.to_json())
    save_weights(path, model.state_dict(), plain)
    with pytest.raises(ValueError, match=r"does not state how faces must stand"):
        open_network(path, FACE_EMBEDDING)


@pytest.mark.slow
def test_a_card_tells_whom_it_was_trained_on(tmp_path: Path) -> None:
    path = save(tmp_path / "w.safetensors", "none")
    model, older = open_network(path, FACE_EMBEDDING)
    assert trained_on(older) is None, "as cards were that tell nothing of it"
    told = TrainedOn("LFW", 10, digest_of(["b", "a"]))
    assert told.people == digest_of(["a", "b"]) != digest_of(["a", "c"])
    card = replace(older, model=describe_model(SMALL, "none", told))
    save_weights(path, model.state_dict(), card)
    _, read = open_network(path, FACE_EMBEDDING)
    assert trained_on(read) == told
    assert embedder_spec(read, path) == embedder_spec(older, path) == SMALL


@pytest.mark.slow
def test_fine_tuning_takes_the_head_of_equal_length(tmp_path: Path) -> None:
    path = save(tmp_path / "w.safetensors", "none")
    theirs, _ = open_network(path, FACE_EMBEDDING)
    same = FaceEmbedder(SMALL, num_identities=4)
    start_embedder(same, path)
    other = FaceEmbedder(replace(SMALL, dim=9))
    start_embedder(other, path)
    assert torch.equal(same.get_parameter("head.2.weight"), theirs.get_parameter("head.2.weight"))
    for model in (same, other):
        first = next(iter(theirs.body.parameters()))
        assert torch.equal(next(iter(model.body.parameters())), first)
    with pytest.raises(ValueError, match=r"the weights have alpha 0.1, the model to train 0.2"):
        start_embedder(FaceEmbedder(replace(SMALL, alpha=0.2)), path)


@pytest.mark.slow
def test_teachers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: object, dim: int = 6, alignment: str = "none") -> object:
        return open_embedding_teacher(
            DistillSpec(teacher=str(name)), dim=dim, size=32, alignment=alignment, data=tmp_path
        )

    path = save(tmp_path / "w.safetensors", "none")
    find(path)
    with pytest.raises(ValueError, match=r"have 6 numbers, the student's 128; add --dim 6"):
        find(path, dim=128)
    with pytest.raises(ValueError, match=r"alignment 'none', but those of .* have 'funneled'"):
        find(path, alignment="funneled")
    with pytest.raises(ValueError, match=r"timm:x: classifies"):
        find("timm:x")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "odd_teachers.py").write_text(
        "def flat(x):\n    return x.float().mean((1, 2, 3))\n"
        "def broken(x):\n    return 1 / 0\n"
        "def good(x):\n    return x.float().flatten(1)[:, :6]\n"
    )
    find("odd_teachers:good")
    with pytest.raises(ValueError, match=r"answers \(2,\) to 2 images"):
        find("odd_teachers:flat")
    with pytest.raises(ValueError, match=r"fails on images: ZeroDivisionError"):
        find("odd_teachers:broken")


def test_neighbours() -> None:
    gallery = at_angles(0, 10, 90).numpy()
    rows = nearest(gallery, gallery, 5, itself=np.eye(len(gallery), dtype=bool))
    assert [[n.photo for n in row] for row in rows] == [[1, 2], [0, 2], [1, 0]]
    assert rows[0][1].distance == pytest.approx(2, abs=1e-6)
    asked = at_angles(80).numpy()
    assert [n.photo for n in nearest(asked, gallery, 2)[0]] == [2, 1]
    photo = np.full((40, 60, 3), 90, np.uint8)
    drawn = draw_neighbours(photo, [(photo, "Zoë", 0.1), (photo, "Al", 1.5)], 0.5)
    assert drawn.shape[1] % 3 == 0
    greens = [(drawn[:10, k * drawn.shape[1] // 3 + 2] == (70, 180, 95)).all() for k in range(3)]
    assert greens == [False, True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmbedderSpec(dim=1), "--dim 1"),
        (lambda: EmbedderSpec(size=16), "--size 16"),
        (lambda: EmbedLossSpec(margin=2), "--margin 2"),
        (lambda: EmbedLossSpec(scale=0), "--scale 0"),
        (lambda: EmbedLossSpec(per_identity=1), "--per-identity 1"),
        (lambda: FaceSpec(fold=0), "--fold 0"),
        (lambda: FaceSpec(points=Path("p"), detector=Path("d")), "--points p"),
        (lambda: FaceSpec(points=Path("p"), alignment="funneled"), "--alignment funneled"),
    ],
)
def test_bad_flags(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_costs_of_table_14() -> None:
    """286, 185, 166 and 108 million mult-adds; the second row from below is printed at 128."""
    for alpha, size, mult_adds in (
        (1, 160, 286),
        (1, 128, 185),
        (0.75, 160, 166),
        (0.75, 128, 108),
    ):
        cost = embedder_cost(EmbedderSpec(alpha=alpha, size=size))
        assert cost.mult_adds / 1e6 == pytest.approx(mult_adds, rel=0.035)
    assert ClassMap((), ()) == NO_CLASSES
