"""Built-in scenes: deterministic, in COCO's layout, healthy, and hard to tell apart by box."""

from pathlib import Path

import numpy as np
import pytest

from datasets.boxes.checking import examine
from datasets.boxes.opening import open_detection
from datasets.builtin import scenes as demo
from datasets.builtin.scenes import SHAPES, draw_scene, draw_scenes


def test_a_scene_is_a_function_of_its_seed() -> None:
    one, again = (draw_scene(np.random.default_rng((0, 1, 2))) for _ in range(2))
    other = draw_scene(np.random.default_rng((0, 1, 3)))
    assert np.array_equal(one[0], again[0])
    assert one[1] == again[1]
    assert not np.array_equal(one[0], other[0])


@pytest.mark.slow
def test_scenes_are_varied_and_boxes_inside() -> None:
    scenes = [draw_scene(np.random.default_rng(seed)) for seed in range(150)]
    labels = [label for _, found, _ in scenes for label in found]
    assert set(labels) == set(range(1, len(SHAPES) + 1))
    assert len({picture.shape for picture, _, _ in scenes}) >= 3
    assert any(not found for _, found, _ in scenes)
    for picture, found, boxes in scenes:
        height, width = picture.shape[:2]
        assert boxes.shape == (len(found), 4)
        assert (boxes >= 0).all()
        assert (boxes <= (width, height, width, height)).all()
    sides = np.concatenate([(b[:, 2:] - b[:, :2]).max(1) for _, _, b in scenes])
    assert sides.max() > 3 * sides.min()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_box_fits_the_shape(shape: str, rng: np.random.Generator) -> None:
    for _ in range(10):
        grey = np.full((200, 200, 3), 128, np.uint8)
        outlines = [points * 40 + (100, 90) for points in demo.outline(rng, shape)]
        demo.paint(rng, grey, outlines)
        strong = np.abs(grey.astype(int) - 128).max(axis=2) > 50  # Not the soft rim.
        rows, columns = np.nonzero(strong)
        painted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert demo._bounds(outlines[0], 200, 200) == pytest.approx(painted, abs=2.5)


@pytest.mark.slow
def test_drawn_to_disk_in_cocos_layout(tmp_path: Path) -> None:
    root = draw_scenes(tmp_path / "scenes", num_train=12, num_val=5, seed=4)
    train, val = open_detection(root, "train"), open_detection(root, "val")
    assert (len(train), len(val)) == (12, 5)
    assert train.classes.names == SHAPES
    assert not examine(train, decode=True).findings
    before = {f: f.stat().st_mtime_ns for f in root.rglob("*.jpg")}
    draw_scenes(root, num_train=12, num_val=5, seed=4)
    assert before == {f: f.stat().st_mtime_ns for f in root.rglob("*.jpg")}
    draw_scenes(root, num_train=3, num_val=2, seed=4)
    assert len(open_detection(root, "train")) == 3
    assert not list(tmp_path.glob(".*"))


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("precious")
    with pytest.raises(ValueError, match="holds something else"):
        draw_scenes(tmp_path, num_train=1, num_val=1)
    assert (tmp_path / "photo.jpg").read_text() == "precious"
