"""Alignment by five points, gentle augmentation, and batches of identities."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets.identities.alignment import (
    TEMPLATE,
    PointDetector,
    align_face,
    read_points,
    similarity,
)
from datasets.identities.augmentation import FaceTransform
from datasets.identities.sampler import IdentitySampler


def transform(
    points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]
) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved: np.ndarray = scale * points @ turn.T + shift
    return moved


@pytest.mark.parametrize(("angle", "scale"), [(0, 1), (0.4, 2.5), (-2.8, 0.2)])
def test_a_similarity_is_found_again(angle: float, scale: float) -> None:
    moved = transform(TEMPLATE, angle, scale, (30, -7))
    matrix = similarity(moved, TEMPLATE)
    assert moved @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(TEMPLATE, abs=1e-9)


def test_the_best_of_noisy_points_without_mirroring(rng: np.random.Generator) -> None:
    """No other turn, scale or shift is nearer; OpenCV's own estimate of all points agrees."""
    noisy = transform(TEMPLATE, 0.3, 1.7, (5, 9)) + rng.normal(0, 3, (5, 2))
    matrix = similarity(noisy, TEMPLATE)

    def error(m: np.ndarray) -> float:
        return float(((noisy @ m[:, :2].T + m[:, 2] - TEMPLATE) ** 2).sum())

    for change in np.concatenate((np.eye(4), -np.eye(4))) * 1e-3:
        a, b, x, y = change
        other = matrix + np.array([[a, -b, x], [b, a, y]])
        assert error(other) > error(matrix)
    mirrored = TEMPLATE * (-1, 1)
    assert np.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) > 0
    with pytest.raises(ValueError, match=r"all at"):
        similarity(np.ones((5, 2)), TEMPLATE)


@pytest.mark.parametrize("scale", [1.5, 6.0])
def test_points_of_a_photo_come_to_the_template(scale: float) -> None:
    """Dots drawn at five points are found where the template has them, in large photos too."""
    points = transform(TEMPLATE, 0.25, scale, (90 * scale, 20 * scale))
    side = round(260 * scale)
    photo = np.zeros((side, side, 3), np.uint8)
    for x, y in points:
        cv2.circle(photo, (round(x), round(y)), round(3 * scale), (255, 255, 255), -1)
    face = align_face(photo, points)
    assert face.shape == (112, 112, 3)
    _, _, _, centres = cv2.connectedComponentsWithStats((face[..., 0] > 100).astype(np.uint8))
    order, wanted = np.argsort(centres[1:, 0]) + 1, np.argsort(TEMPLATE[:, 0])
    assert centres[order] == pytest.approx(TEMPLATE[wanted], abs=0.8)
    assert align_face(photo, points, 224).shape == (224, 224, 3)


@pytest.mark.slow
def test_large_faces_of_any_points(rng: np.random.Generator) -> None:
    """After one shrink the scale may still round to below a half."""
    photo = np.zeros((500, 500, 3), np.uint8)
    hard = np.array([[241, 266], [410, 252], [328, 353], [267, 457], [409, 449]], np.float64)
    faces = [
        hard,
        *(np.round(TEMPLATE * rng.uniform(2, 4) + rng.normal(0, 9, (5, 2))) for _ in range(500)),
    ]
    for points in faces:
        assert align_face(photo, points, 32).shape == (32, 32, 3)


def test_lists_of_points(tmp_path: Path) -> None:
    file = tmp_path / "points.txt"
    file.write_text(
        "2\nlefteye_x lefteye_y\na.jpg 1 2 3 4 5 6 7 8 9 10\nb/c.jpg  0 0 1 1 2 2 3 3 4 4\n"
    )
    points = read_points(file, ["x/a.jpg", "b/c.jpg"])
    assert points.shape == (2, 5, 2)
    assert points[0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    with pytest.raises(ValueError, match=r"no points of d.jpg"):
        read_points(file, ["d.jpg"])
    file.write_text("a.jpg,1,2,3,4,5,6,7,8,9,10\nb.jpg,1,2,x\n")
    with pytest.raises(ValueError, match=r"line 2: no file name and ten numbers"):
        read_points(file, ["a.jpg"])


def test_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest face counts; points come back in the photo's own pixels."""
    with pytest.raises(ValueError, match=r"--detector nowhere: no such file"):
        PointDetector(Path("nowhere"))
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"OpenCV cannot read it as its face detector"):
        PointDetector(tmp_path / "bad.onnx")
    sizes = []

    class Fake:
        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
            sizes.append(size)

        def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
            if image.max() == 0:
                return 1, None
            small = [0, 0, 5, 5, *range(10), 0.9]
            large = [0, 0, 50, 50, *range(10, 20), 0.8]
            return 1, np.array([small, large], np.float32)

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: Fake())
    detector = PointDetector(tmp_path / "bad.onnx")
    points = detector(np.full((1280, 640, 3), 9, np.uint8))
    assert sizes == [(320, 640)]
    assert points is not None
    assert points.tolist() == (2 * np.arange(10.0, 20).reshape(5, 2)).tolist()
    assert detector(np.zeros((20, 20, 3), np.uint8)) is None


def test_augmentation_is_gentle_and_seeded(rng: np.random.Generator) -> None:
    photo = cv2.GaussianBlur(rng.integers(0, 256, (144, 144, 3), np.uint8), (0, 0), 8)
    plain = FaceTransform(112, "none", crop=112 / 144)(photo, 0)
    assert (plain == photo[16:128, 16:128]).all()
    gentle = FaceTransform(112, "face", crop=112 / 144)
    assert (gentle(photo, 5) == gentle(photo, 5)).all()
    seen = [gentle(photo, seed) for seed in range(12)]
    assert len({image.tobytes() for image in seen}) == 12
    flat = plain[..., 0].ravel().astype(float)
    alike = [
        max(np.corrcoef(flat, side[..., 0].ravel())[0, 1] for side in (image, image[:, ::-1]))
        for image in seen
    ]
    assert min(alike) > 0.5
    mirrored = FaceTransform(64, "flip", crop=1.0)
    straight = FaceTransform(64, "none", crop=1.0)(photo, 0)
    kinds = {(mirrored(photo, seed) == straight).all() for seed in range(12)}
    assert kinds == {True, False}


def test_identities_come_together(rng: np.random.Generator) -> None:
    labels = rng.permutation(np.repeat([0, 1, 2, 3, 4], [1, 2, 4, 9, 16]))
    sampler = IdentitySampler(labels, 4, seed=3, rank=0, world=1)
    order = [index for _, index in sampler]
    assert sorted(order) == list(range(32)), "every image once"
    own = labels[order]
    runs = np.split(own, np.flatnonzero(np.diff(own)) + 1)
    assert {len(run) for run in runs if run[0] == 2} == {4}
    assert sum(len(run) >= 4 for run in runs) >= 4
    assert [index for _, index in sampler] == order
    sampler.start = 10
    assert [index for _, index in sampler] == order[10:], "a resumed epoch goes on"
    sampler.set_epoch(1)
    again = list(sampler)
    assert [index for _, index in again] != order
    assert {epoch for epoch, _ in again} == {1}


def test_ranks_share_an_epoch() -> None:
    labels = np.repeat(np.arange(6), 4)
    parts = [
        [index for _, index in IdentitySampler(labels, 4, seed=0, rank=rank, world=2)]
        for rank in range(2)
    ]
    assert sorted(parts[0] + parts[1]) == list(range(24))
    for part in parts:
        assert all(len(set(labels[part[k : k + 4]].tolist())) == 1 for k in range(0, 12, 4))
