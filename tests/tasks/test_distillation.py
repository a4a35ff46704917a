"""Losses against a teacher by hand, the frozen teacher, and the store of its answers."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from datasets.errors import InputError
from tasks.distillation.losses import embedding_loss, sigmoid_loss, softmax_loss
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TargetSource, TeacherTargets
from tasks.distillation.targets import BLOCK, HEADER_NAME, TargetHeader, TargetStore, look_of
from tasks.distillation.teacher import Fingerprint, Teacher, is_same
from tasks.face_attributes.spec import AttributeLossSpec
from tasks.face_embedding.spec import EmbedLossSpec

HEADER = TargetHeader(
    teacher="runs/teacher",
    fingerprint="ab" * 32,
    size=32,
    augment="small",
    interpolation="bilinear",
    seed=3,
    data="0123",
    photos=10,
    classes=4,
    top_k=4,
    looks=[10.0, 20.0],
)


def test_softmax_loss_by_hand() -> None:
    """Two classes, temperature 2: the teacher's odds of 4 become 2, the student's of 1 stay."""
    student = torch.zeros(1, 2)
    teacher = torch.tensor([[math.log(4.0), 0.0]])
    wanted = 2 / 3 * math.log(2 / 3 / 0.5) + 1 / 3 * math.log(1 / 3 / 0.5)
    assert float(softmax_loss(student, teacher, 2.0)) == pytest.approx(4 * wanted, rel=1e-6)
    assert float(softmax_loss(teacher, teacher, 2.0)) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_softmax_loss_has_the_gradient_of_the_soft_cross_entropy(temperature: float) -> None:
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(5, 7, generator=generator, requires_grad=True)
    teacher = torch.randn(5, 7, generator=generator)
    (ours,) = torch.autograd.grad(softmax_loss(student, teacher, temperature), student)
    soft = (teacher / temperature).softmax(1)
    theirs = temperature**2 * functional.cross_entropy(student / temperature, soft)
    (wanted,) = torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours, wanted)
    shifted = softmax_loss(student, teacher.log_softmax(1), temperature)
    torch.testing.assert_close(shifted, softmax_loss(student, teacher, temperature))


def test_sigmoid_loss_by_hand() -> None:
    student, teacher = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([[math.log(3.0), 0.0]])
    first = -math.log(0.5)  # Whatever the teacher says.
    second = -(0.5 * math.log(0.75) + 0.5 * math.log(0.25))
    assert float(sigmoid_loss(student, teacher)) == pytest.approx((first + second) / 2, rel=1e-6)
    wanted = functional.binary_cross_entropy(student.sigmoid(), teacher.sigmoid())
    torch.testing.assert_close(sigmoid_loss(student, teacher), wanted)


def test_embedding_loss_by_hand() -> None:
    student = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    teacher = torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    assert float(embedding_loss(student, teacher)) == pytest.approx(1.0)  # 2 and 0.
    wanted = 2 * functional.mse_loss(student, teacher)
    torch.testing.assert_close(embedding_loss(student, teacher), wanted)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.0}, "--temperature 0.0 must be above 0"),
        ({"distill_weight": 0.0}, r"--distill-weight 0.0 is not in \(0, 1\]"),
        ({"top_k": 0}, "--top-k 0 must be 1 or more"),
        ({"teacher": "runs/x", "teacher_weights": Path("w")}, "--teacher-weights w goes with"),
        ({"teacher": None, "temperature": 2.0}, "--temperature 2.0 does nothing without --teach"),
        ({"teacher": None, "top_k": 2}, "--top-k 2 does nothing without --teacher"),
    ],
)
def test_impossible_settings(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillSpec(**{"teacher": "x", **fields})


def test_a_lesson_shares_the_loss_out() -> None:
    logits, answers = torch.zeros(2, 3), torch.eye(3)[:2] * 5
    images = torch.rand(2, 3, 8, 8)
    seen = []

    def ask(given: Tensor) -> Tensor:
        seen.append(given)
        return answers

    losses = {"class": torch.tensor(2.0)}
    spec = DistillSpec(teacher="x", temperature=3.0, distill_weight=0.75)
    joined = TeacherTargets(ask, spec).join(losses, images, logits)
    assert seen[0] is images
    assert joined["class"] == 0.5
    torch.testing.assert_close(joined["teacher"], 0.75 * softmax_loss(logits, answers, 3.0))
    alone = TeacherTargets(ask, replace(spec, distill_weight=1.0)).join(losses, images, logits)
    assert list(alone) == ["teacher"]


def network(columns: int = 6) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Flatten(1), nn.Linear(196, columns)
    )


def test_a_teacher_is_frozen_resizes_and_picks_columns() -> None:
    net = network().train()
    teacher = Teacher("t", net, size=16, columns=torch.tensor([4, 0]))
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    images = torch.randint(0, 255, (3, 3, 24, 24), dtype=torch.uint8)
    before = copy.deepcopy(net.state_dict())
    answers = teacher(images)
    small = functional.interpolate(images.float(), size=16, mode="bilinear", antialias=True)
    torch.testing.assert_close(answers, net(small)[:, [4, 0]])
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    # It may stand in a loss, although it comes from inference mode.
    student = torch.zeros(3, 2, requires_grad=True)
    softmax_loss(student, answers, 2.0).backward()
    assert student.grad is not None


def test_fingerprints_tell_teachers_apart() -> None:
    net = network()
    one = Teacher("a", copy.deepcopy(net), size=16).fingerprint(16)
    assert is_same(one, Teacher("b", copy.deepcopy(net), size=16).fingerprint(16))
    columns = torch.arange(6).flip(0)
    assert not is_same(one, Teacher("a", net, size=16, columns=columns).fingerprint(16))
    with torch.no_grad():
        net.get_buffer("1.running_mean")[0] += 1e-6
    assert not is_same(one, Teacher("a", net, size=16).fingerprint(16))
    plain = Teacher("f", lambda x: x.float().mean((2, 3))).fingerprint(8)
    assert is_same(plain, Teacher("g", lambda x: x.sum((2, 3)) / 64).fingerprint(8))
    assert not is_same(plain, Teacher("f", lambda x: 2 * x.float().mean((2, 3))).fingerprint(8))
    assert not is_same(plain, one)


def test_a_changed_function_is_another_teacher() -> None:
    """By the whole of its answers; rounding to half precision makes no other."""
    mix = torch.randn(3 * 64, 40, generator=torch.Generator().manual_seed(5)) / 200

    def answer(images: Tensor) -> Tensor:
        return (images.float() - 127).flatten(1) @ mix

    def of(change: Callable[[Tensor], Tensor], *, softmax: bool = False) -> Fingerprint:
        teacher = Teacher("f", lambda images: change(answer(images)))
        return teacher.fingerprint(8, softmax=softmax)

    def second(answers: Tensor) -> Tensor:
        return answers + torch.tensor([[0.0], [0.5]])

    def turned(answers: Tensor) -> Tensor:
        """Embeddings with a cosine of .98 to what they were."""
        ours = functional.normalize(answers)
        aside = functional.normalize(
            ours.roll(1, 1) - (ours.roll(1, 1) * ours).sum(1, True) * ours
        )
        return 0.98 * ours + 0.199 * aside

    old = of(lambda a: a)
    assert is_same(old, of(lambda a: a.bfloat16()))
    assert is_same(old, of(lambda a: a + 1e-3))
    for change in (lambda a: a + 3, second, lambda a: a * 1.1, lambda a: a.roll(1, 1)):
        assert not is_same(old, of(change))
    ours = of(functional.normalize)
    assert is_same(ours, of(lambda a: functional.normalize(a).bfloat16()))
    assert not is_same(ours, of(turned))
    logits = of(lambda a: a, softmax=True)
    assert is_same(logits, of(lambda a: a + 3, softmax=True)), "the same probabilities"
    assert is_same(logits, of(lambda a: a.log_softmax(1), softmax=True))
    assert not is_same(logits, of(lambda a: a * 1.1, softmax=True))


def test_flags_of_labels_are_refused_without_labels() -> None:
    alone, both = (DistillSpec(teacher="t", distill_weight=w) for w in (1, 0.5))
    for loss, flag in (
        (AttributeLossSpec(balance=True), "--balance True"),
        (AttributeLossSpec(focal_gamma=2), "--focal-gamma 2"),
        (AttributeLossSpec(attribute_weights=("Bald=2",)), "--attribute-weights Bald=2"),
        (EmbedLossSpec(objective="triplet"), "--objective triplet"),
        (EmbedLossSpec(margin=0.3), "--margin 0.3"),
    ):
        with pytest.raises(ValueError, match=f"{flag} does nothing .* --distill-weight .5"):
            alone.refuse_unused(loss)
        both.refuse_unused(loss)
        DistillSpec().refuse_unused(loss)
    alone.refuse_unused(AttributeLossSpec(dropout=0.2))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: x.float().mean((2, 3)), r"answers \(2, 3\) to 2 images of 4 classes"),
        (lambda _: [1, 2], "gives list, no tensor"),
        (lambda x: torch.full((len(x), 4), math.nan), "its logits are not finite"),
        (lambda x: x.nothing, "fails on images: AttributeError"),
    ],
)
def test_a_teacher_that_does_not_answer(answer: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"--teacher odd: {message}"):
        Teacher("odd", answer).check(4, 8)


def test_a_student_may_be_copied_but_not_its_teacher() -> None:
    target_source = TargetSource(DistillSpec(teacher="x"), "x", "ab", Teacher("x", network()))
    assert copy.deepcopy({"a": target_source})["a"] is target_source


def filled(folder: Path, header: TargetHeader, logits: Tensor, epoch: int = 0) -> TargetStore:
    store = TargetStore(folder, header)
    rows = store.empty(0)
    rows[: len(logits)] = store.rows(logits)
    store.write(epoch, 0, rows)
    return store


def test_all_classes_are_kept_to_half_precision(tmp_path: Path) -> None:
    logits = torch.randn(10, 4, generator=torch.Generator().manual_seed(2)) * 6
    store = filled(tmp_path / "t", HEADER, logits)
    assert store.missing(2) == [(1, 0)]
    again = TargetStore(tmp_path / "t", HEADER)
    read = again.read(0, [7, 2, 2])
    torch.testing.assert_close(read, logits.log_softmax(1)[[7, 2, 2]], rtol=5e-4, atol=1e-6)


def test_what_is_left_is_spread(tmp_path: Path) -> None:
    """Of .5, .3, .15, .05 the first two are kept; the other two get .1 each."""
    header = replace(HEADER, top_k=2, photos=1)
    shares = torch.tensor([[0.05, 0.5, 0.15, 0.3]])
    store = filled(tmp_path / "t", header, shares.log())
    wanted = torch.tensor([[0.1, 0.5, 0.1, 0.3]])
    torch.testing.assert_close(store.read(0, [0]).exp(), wanted, rtol=1e-3, atol=0)


def test_extreme_logits_stay_numbers(tmp_path: Path) -> None:
    store = filled(tmp_path / "t", HEADER, torch.tensor([[1e6, 0, -1e6, 3]] * 10))
    loss = softmax_loss(torch.zeros(10, 4), store.read(0, range(10)), 1.0)
    assert float(loss) == pytest.approx(math.log(4))


def test_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.distillation.targets.BLOCK", 4)
    store = TargetStore(tmp_path / "t", HEADER)
    assert store.missing(1) == [(0, 0), (0, 1), (0, 2)]
    logits = torch.arange(40.0).reshape(10, 4) % 7
    for block in (0, 1, 2):
        rows = store.empty(block)
        assert len(rows) == (4, 4, 2)[block]
        rows[:] = store.rows(logits[4 * block : 4 * block + 4])
        store.write(0, block, rows)
    read = store.read(0, [9, 0, 5, 4])
    torch.testing.assert_close(read, logits.log_softmax(1)[[9, 0, 5, 4]], rtol=5e-4, atol=1e-6)
    assert BLOCK % 128 == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"fingerprint": "cd" * 32},
            r"another teacher: .* \(abababababab\) there, .*cdcdcd.* in this",
        ),
        ({"size": 64}, "another --size: 32 there, 64 in this run"),
        ({"augment": "modern"}, "another --augment: small there, modern in this run"),
        ({"interpolation": "bicubic"}, "another --interpolation: bilinear there"),
        ({"seed": 4}, "another --seed: 3 there, 4 in this run"),
        ({"data": "4567"}, "another training data: 0123 there"),
        ({"top_k": 2}, "another --top-k: 4 there, 2 in this run"),
        ({"looks": [10.0, 24.0]}, "of other images: images, augmentation or its library"),
    ],
)
def test_whatever_changed_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    filled(tmp_path / "t", HEADER, torch.zeros(10, 4))
    TargetStore(tmp_path / "t", replace(HEADER, teacher="moved/teacher", looks=[10.4, 19.0]))
    with pytest.raises(ValueError, match=rf"--targets .*/t: stored .*{message}"):
        TargetStore(tmp_path / "t", replace(HEADER, **change))


def test_a_store_without_its_teacher(tmp_path: Path) -> None:
    bare = replace(HEADER, teacher=None, fingerprint=None)
    with pytest.raises(ValueError, match="no stored targets there; name the --teacher"):
        TargetStore(tmp_path / "t", bare)
    filled(tmp_path / "t", HEADER, torch.zeros(10, 4))
    assert TargetStore(tmp_path / "t", bare).header == HEADER


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    store = filled(folder, HEADER, torch.zeros(7, 4))
    with pytest.raises(ValueError, match=r"00000-00000.npy: holds no target of image 8"):
        store.read(0, [1, 8])
    with pytest.raises(ValueError, match=r"00001-00000.npy: missing; name the --teacher"):
        store.read(1, [0])
    file = folder / "00000-00000.npy"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"00000-00000.npy: damaged .*delete it"):
        TargetStore(folder, HEADER).read(0, [0])
    np.save(file, np.zeros(10))
    with pytest.raises(ValueError, match=r"00000-00000.npy: not of this store"):
        TargetStore(folder, HEADER).read(0, [0])
    (folder / HEADER_NAME).write_text(json.dumps({"format": 1, "teacher": "x"}))
    with pytest.raises(ValueError, match=r"targets.json: not the header of stored targets"):
        TargetStore(folder, HEADER)
    (folder / HEADER_NAME).unlink()
    with pytest.raises(ValueError, match="holds something else; name a new folder"):
        TargetStore(folder, HEADER)


@pytest.mark.parametrize(
    ("field", "value"),
    [("looks", {"x": 1}), ("looks", ["a"]), ("fingerprint", 7), ("classes", "4"), ("teacher", [])],
)
def test_headers_of_other_types_are_refused(tmp_path: Path, field: str, value: object) -> None:
    filled(tmp_path, HEADER, torch.zeros(7, 4))
    file = tmp_path / HEADER_NAME
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    with pytest.raises(InputError, match=rf"not the header of stored targets \({field} is"):
        TargetStore(tmp_path, HEADER)


def test_other_looks_and_columns_are_refused(tmp_path: Path) -> None:
    store = filled(tmp_path, HEADER, torch.zeros(7, 4))
    with pytest.raises(InputError, match="stored of other images"):
        TargetStore(tmp_path, replace(HEADER, looks=[1.0]))
    rows = store.empty(0)
    rows["log"], rows["column"] = 0, 40_000
    store.write(0, 0, rows)
    with pytest.raises(InputError, match=r"00000-00000\.npy: damaged \(a column beyond"):
        TargetStore(tmp_path, HEADER).read(0, [0])
    file = tmp_path / "00000-00000.npy"
    file.write_bytes(file.read_bytes().replace(b"{'descr'", b"(('descr'"))
    with pytest.raises(InputError, match=r"00000-00000\.npy: damaged"):
        TargetStore(tmp_path, HEADER).read(0, [0])


def test_a_look_sees_a_flip() -> None:
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.uint8).reshape(2, 3, 8, 8)
    look = look_of(images)
    assert len(look) == 2 * 3 * 4
    assert not np.allclose(look, look_of(images.flip(3)), atol=2)


def test_a_store_of_values_keeps_them_all(tmp_path: Path) -> None:
    """Logits of attributes, or an embedding: nothing is normalised, nothing left out."""
    header = replace(HEADER, answers="values", top_k=2)
    store = TargetStore(tmp_path / "values", header)
    given = torch.tensor([[0.5, -3.25, 100.0, -1e6]] * 10)
    rows = store.empty(0)
    rows[:] = store.rows(given)
    store.write(0, 0, rows)
    read = TargetStore(tmp_path / "values", header).read(0, [3, 9])
    wanted = given[:2].clone()
    wanted[:, 3] = -65_000
    torch.testing.assert_close(read, wanted, atol=0, rtol=5e-4)
    with pytest.raises(ValueError, match="another kind of answer: values there, classes in this"):
        TargetStore(tmp_path / "values", replace(header, answers="classes"))
