"""The data doctor names what is wrong, mends what is safe, refuses the rest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.boxes.checking import examine
from datasets.boxes.opening import open_detection
from datasets.boxes.structure import DetectionData
from datasets.findings import Examination
from tasks.detection.model import detector_anchors
from tasks.detection.spec import DetectorSpec
from tests.datasets.fakes import GOOD_BOXES, save_pictures, write_coco, write_yolo

NAN, FLAT, BACK = [float("nan"), 1, 5, 5], [5, 5, 0, 9], [20, 20, -5, 9]
AWAY, BEYOND, THIN = [70, 5, 9, 9], [50, 30, 40, 40], [5, 5, 0.5, 9]
TINY = [0.1, 0.2, 0.5, 0.5]
MANY = [(10, 3, [2 + k, 3, 10, 12]) for k in range(20)]


def check(
    root: Path, boxes: list[tuple[int, int, Any]], **options: Any
) -> Examination[DetectionData]:
    return examine(open_detection(write_coco(root, boxes), "train"), **options)


def test_anchors_are_compared_with_boxes_as_the_input_shows_them(tmp_path: Path) -> None:
    """A box that fills a picture of 64x48: all of a warped input, three quarters of a padded."""
    anchor = np.array([[0.5, 0.375, 1, 0.75]], np.float32)
    whole = [(10, 3, [0, 0, 64, 48])]
    warped = check(tmp_path / "a", whole, anchors=anchor).summary
    padded = check(tmp_path / "b", whole, anchors=anchor, keep_aspect=True).summary
    assert warped["anchor_cover"]["median_iou"] == 0.75
    assert padded["anchor_cover"]["median_iou"] == 1
    assert warped["relative_size"] == padded["relative_size"]


def test_good_data_is_left_alone(tmp_path: Path) -> None:
    data = open_detection(write_coco(tmp_path, GOOD_BOXES, images=3), "train")
    checkup = examine(data)
    assert not checkup.findings
    assert np.array_equal(checkup.data.boxes, data.boxes)
    assert checkup.summary["images_without_objects"] == 1
    assert checkup.summary["classes"] == {"cat": 1, "dog": 2}
    assert "nothing wrong was found" in checkup.describe()


@pytest.mark.parametrize(
    ("box", "kind", "action"),
    [
        (NAN, "box is not a number", "dropped"),
        (FLAT, "box without area", "dropped"),
        (BACK, "box without area", "dropped"),
        (AWAY, "box outside the image", "dropped"),
        (BEYOND, "box reaches out of the image", "clipped"),
        (THIN, "box thinner than a pixel", "dropped"),
        (TINY, "box looks normalised", "dropped"),
        (MANY[0][2], "same box twice", "dropped"),
    ],
)
def test_each_kind_of_bad_box(tmp_path: Path, box: list[float], kind: str, action: str) -> None:
    checkup = check(tmp_path, [*MANY, (10, 3, box)])
    (finding,) = checkup.findings
    assert (finding.kind, finding.action) == (kind, action)
    assert finding.annotation == 120
    assert finding.file.endswith("0.png")
    assert len(checkup.data.boxes) == 20 + (action == "clipped")
    assert (checkup.data.boxes >= 0).all()
    assert (checkup.data.boxes <= (64, 48, 64, 48)).all()
    assert f"1  {kind} ({action})" in checkup.describe()


def test_ground_truth_for_scoring_keeps_all_but_nan(tmp_path: Path) -> None:
    """Clipping or dropping would change the published numbers."""
    checkup = check(
        tmp_path, [*MANY, (10, 3, BEYOND), (10, 3, THIN), (10, 3, NAN)], mend_boxes=False
    )
    assert len(checkup.data.boxes) == 22
    assert [50, 30, 90, 70] in checkup.data.boxes.tolist()
    assert checkup.counts()["box is not a number (dropped)"] == 1


def test_missing_and_damaged_images_are_dropped(tmp_path: Path) -> None:
    write_coco(tmp_path, [(10 + k, 3, [1, 1, 9, 9]) for k in range(12)], images=12)
    (tmp_path / "train2017/3.png").unlink()
    (tmp_path / "train2017/5.png").write_text("no image")
    data = open_detection(tmp_path, "train")
    checkup = examine(data)
    assert checkup.counts() == {"unusable image (dropped)": 2}
    assert [f.file[-5:] for f in checkup.findings] == ["3.png", "5.png"]
    assert "missing" in checkup.findings[0].detail
    assert len(checkup.data) == len(checkup.data.boxes) == 10
    assert checkup.data.image_ids.tolist() == [10, 11, 12, 14, 16, 17, 18, 19, 20, 21]


def test_an_image_of_another_size_is_dropped(tmp_path: Path) -> None:
    write_coco(tmp_path, [(10 + k, 3, [1, 1, 9, 9]) for k in range(12)], images=12)
    save_pictures(tmp_path / "train2017", ["0.png"], width=20)
    checkup = examine(open_detection(tmp_path, "train"))
    assert checkup.findings[0].detail == "20x48 pixels, annotated as (64, 48)"


def test_decoding_finds_what_the_header_hides(tmp_path: Path) -> None:
    write_coco(tmp_path, [(10 + k, 3, [1, 1, 9, 9]) for k in range(12)], images=12)
    file = tmp_path / "train2017/2.png"
    save_pictures(tmp_path / "train2017", ["2.png"])
    data = file.read_bytes()
    file.write_bytes(data[:-40] + bytes(24) + data[-16:])  # The end looks whole.
    opened = open_detection(tmp_path, "train")
    assert not examine(opened).findings
    assert examine(opened, decode=True).counts() == {"unusable image (dropped)": 1}


def refusal(checkup: Examination[DetectionData]) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        checkup.raise_if_refused()
    return str(caught.value)


def test_a_wrong_folder_is_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, GOOD_BOXES)
    for file in (tmp_path / "train2017").iterdir():
        file.unlink()
    text = refusal(examine(open_detection(tmp_path, "train")))
    assert "2 of 2; the first is" in text
    assert "Is it the right folder?" in text


def test_what_is_refused_is_told_before_all(tmp_path: Path) -> None:
    """However many lines stand before it."""
    for file in (write_coco(tmp_path, GOOD_BOXES) / "train2017").iterdir():
        file.unlink()
    checkup = examine(open_detection(tmp_path, "train"))
    assert checkup.findings[0].action == "dropped"
    assert checkup.lines(1)[-2].startswith("  refused: images missing or unreadable: ")


def test_normalised_boxes_are_refused(tmp_path: Path) -> None:
    boxes = [(10, 3, [0.1 + k / 100, 0.2, 0.3, 0.3]) for k in range(9)]
    text = refusal(check(tmp_path, boxes))
    assert "too often: box looks normalised: 9 of 9" in text
    assert "multiply them by width and height" in text


def test_pixels_in_yolo_files_are_refused(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"a": "0 30 20 10 8\n1 40 30 5 5\n"})
    text = refusal(examine(open_detection(tmp_path, "train")))
    assert "YOLO boxes are relative" in text


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    data = open_detection(write_coco(tmp_path, [], images=0), "train")
    assert "the annotations list none" in refusal(examine(data))


def test_no_boxes_left_is_refused(tmp_path: Path) -> None:
    data = open_detection(write_coco(tmp_path, []), "train")
    with pytest.raises(ValueError, match="no boxes: none to learn from"):
        examine(data).raise_if_refused()


def test_double_ids_and_files_are_told(tmp_path: Path) -> None:
    write_coco(tmp_path, GOOD_BOXES)
    file = tmp_path / "annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][1]["id"] = 100
    content["images"][1]["file_name"] = "0.png"
    file.write_text(json.dumps(content))
    counts = examine(open_detection(tmp_path, "train")).counts()
    assert counts == {"annotation id twice (kept)": 1, "file listed twice (kept)": 1}


def test_anchor_cover(tmp_path: Path) -> None:
    """A box of an anchor's own shape and place is covered whole; a hair-thin one is not."""
    anchors = detector_anchors(DetectorSpec()).numpy()
    exact = anchors[700]
    x, y, w, h = (exact * (64, 48, 64, 48)).tolist()
    boxes = [(10, 3, [x - w / 2, y - h / 2, w, h])]
    covered = check(tmp_path / "a", boxes, anchors=anchors).summary["anchor_cover"]
    assert covered == {"median_iou": pytest.approx(1, abs=1e-3), "share_under_half": 0}
    thin = check(tmp_path / "b", [(10, 3, [1, 20, 60, 1.2])], anchors=anchors)
    assert thin.summary["anchor_cover"]["share_under_half"] == 1
    assert "100.0% of boxes stay under 0.5" in thin.describe()


@pytest.mark.slow
def test_real_sets_are_healthy(real_data: Path) -> None:
    for name, split in (("coco", "train"), ("coco", "val"), ("pets", "all")):
        data: DetectionData = open_detection(real_data / name, split)
        checkup = examine(data, decode=True)
        assert len(checkup.data) == len(data)
        checkup.raise_if_refused()
