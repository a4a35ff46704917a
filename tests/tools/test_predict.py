"""Photos, folders and videos in; drawn pictures and COCO JSON out."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.conftest import Tool
from tests.datasets.parquet_fakes import box_parquet
from tests.tools.films import write_film
from tools.flows.journal import BAD
from tools.flows.pictures import find_media, output_files

EASY = ("--score-threshold", 0.01)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos of several kinds, some nested, two of one name, one cut, and a text file."""
    rng = np.random.default_rng(0)
    root = tmp_path / "album"
    (root / "deep").mkdir(parents=True)
    pixels = rng.integers(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "a.jpg")
    Image.fromarray(pixels[..., 0]).save(root / "deep" / "a.jpg")
    Image.fromarray(pixels).convert("CMYK").save(root / "b.tiff")
    cut = root / "cut.jpg"
    cut.write_bytes((root / "a.jpg").read_bytes()[:900])
    (root / "notes.txt").write_text("no image")
    return root


@pytest.mark.slow
def test_a_folder(detector: Path, tool: Tool, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, text, err = tool("predict", detector, album, "--out", out, *EASY)
    assert status == 0, err
    names = {p.name for p in out.iterdir()}
    assert names == {"a.jpg", "deep", "b.jpg", "predictions.json", "predict.json", BAD}
    assert (out / "deep" / "a.jpg").exists()
    (bad,) = map(json.loads, (out / BAD).read_text().splitlines())
    assert bad["file"] == str(album / "cut.jpg")
    assert "damaged" in bad["error"]
    with Image.open(out / "b.jpg") as drawn:
        assert drawn.size == (70, 50)
    assert str(album / "cut.jpg") in err
    assert "3 images" in text
    content = COCO(str(out / "predictions.json"))
    assert len(content.imgs) == 3
    assert {c["name"] for c in content.dataset["categories"]} >= {"star", "ring"}
    for row in content.dataset["annotations"]:
        x, y, w, h = row["bbox"]
        assert 0 <= x <= x + w <= 70.01
        assert 0 <= y <= y + h <= 50.01
        assert 0.01 <= row["score"] <= 1
        assert row["category_id"] in content.cats


@pytest.mark.slow
def test_json_alone(detector: Path, tool: Tool, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("--no-draw", "--json", "--out", out)
    status, text, err = tool("predict", detector, album / "a.jpg", *args)
    assert status == 0, err
    assert sorted(p.name for p in out.iterdir()) == ["predict.json", "predictions.json"]
    result = json.loads(text)
    assert len(result["images"]) == 1
    assert result["unreadable"] == []


@pytest.mark.slow
def test_a_video_becomes_a_video(detector: Path, tool: Tool, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.avi", 11)
    out = tmp_path / "out"
    status, _, err = tool("predict", detector, film, "--out", out, *EASY)
    assert status == 0, err
    drawn = cv2.VideoCapture(str(out / "film.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 11
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(12)
    names = [
        row["file_name"] for row in json.loads((out / "predictions.json").read_text())["images"]
    ]
    assert names == [f"{film}#{number}" for number in range(11)]


@pytest.mark.slow
def test_a_video_whose_name_is_no_utf8(detector: Path, tool: Tool, tmp_path: Path) -> None:
    """OpenCV would take the process down."""
    film = write_film(tmp_path / "film.avi", 3).rename(tmp_path / os.fsdecode(b"ch\xe2ton.avi"))
    out = tmp_path / "out"
    status, _, err = tool("predict", detector, film, "--out", out, *EASY)
    assert status == 0, err
    drawn = (out / film.name).with_suffix(".mp4").rename(out / "drawn.mp4")
    assert cv2.VideoCapture(str(drawn)).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    told = json.loads((out / "predictions.json").read_text())["images"]
    assert [row["file_name"].rpartition("/")[2] for row in told] == [
        rf"ch\xe2ton.avi#{number}" for number in range(3)
    ]


def test_an_archive_beside_videos_is_not_looked_into(tmp_path: Path) -> None:
    for name in ("film.avi", "backup.tar", "metadata.parquet"):
        (tmp_path / name).write_text("anything")
    assert find_media([tmp_path]) == ([], [tmp_path / "film.avi"])


def test_every_picture_gets_a_file_of_its_own(tmp_path: Path) -> None:
    inputs = [Path("x/a.jpg"), Path("y/a.jpg"), Path("z/a_2.jpg"), Path("a.mp4"), Path("b.tif")]
    files = output_files(inputs, tmp_path)
    names = [files[path].name for path in inputs]
    assert names == ["a.jpg", "a_2.jpg", "a_2_2.jpg", "a.mp4", "b.jpg"]


@pytest.mark.slow
def test_a_bad_video_does_not_cost_the_photos(
    detector: Path, tool: Tool, album: Path, tmp_path: Path
) -> None:
    (album / "film.mp4").write_text("no film")
    out = tmp_path / "out"
    status, _, err = tool("predict", detector, album, "--out", out)
    assert status == 0, err
    assert f"{album / 'film.mp4'}: not a video that can be read" in err
    assert len(json.loads((out / "predictions.json").read_text())["images"]) == 3


@pytest.mark.slow
def test_originals_are_never_overwritten(detector: Path, tool: Tool, album: Path) -> None:
    before = (album / "a.jpg").read_bytes()
    status, _, err = tool("predict", detector, album, "--out", album)
    assert status == 2
    assert "would overwrite" in err
    assert (album / "a.jpg").read_bytes() == before


@pytest.mark.slow
def test_an_original_answers_as_it_is(
    ssd_tflite: Path, tool: Tool, album: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    out = tmp_path / "out"
    status, text, err = tool("predict", ssd_tflite, album, "--out", out, *EASY)
    assert status == 0, err
    assert "3 images" in text
    content = COCO(str(out / "predictions.json"))
    assert len(content.imgs) == 3
    assert content.anns
    assert {c["name"] for c in content.dataset["categories"]} >= {"person", "dog"}


@pytest.mark.slow
def test_real_photos(real_ssd_tflite: Path, real_data: Path, tool: Tool, tmp_path: Path) -> None:
    """TensorFlow's weights find what anyone sees."""
    weights = tmp_path / "ssd.safetensors"
    assert tool("import_weights", real_ssd_tflite, "--out", weights)[0] == 0
    status, text, err = tool("predict", weights, real_data / "photos", "--out", tmp_path / "out")
    assert status == 0, err
    lines = {line.split(":")[0].rsplit("/")[-1]: line for line in text.splitlines() if ":" in line}
    assert "cat" in lines["cat_720p.jpg"]
    assert "hot dog" in lines["hot_dog.jpg"]
    assert "bird" in lines["parrot.jpg"]
    assert "dog" in lines["pets.jpg"]


@pytest.mark.slow
def test_pictures_of_a_set_in_parquet_files(detector: Path, tool: Tool, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    root, out = box_parquet(tmp_path / "set"), tmp_path / "out"
    status, _, err = tool("predict", detector, root, "--out", out, *EASY)
    assert status == 0, err
    told = json.loads((out / "predictions.json").read_text())["images"]
    assert [row["file_name"] for row in told][:4] == [
        str(root / f"data/train-00000-of-00002.parquet/{k:02d}.jpg") for k in range(4)
    ]
    assert len([*out.rglob("*.jpg")]) == len(told) == 9
