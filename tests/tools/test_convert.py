"""tools/convert.py: what it writes, what it says, and what it refuses."""

import json
import sys
from pathlib import Path

import pytest

from datasets.boxes.opening import open_parts
from tests.datasets.box_sets import voc
from tests.datasets.fakes import save_pictures, voc_xml
from tests.datasets.label_fakes import save_photos, write_folders, write_pets
from tools import cli, convert

PARTS = ("train", "val", "test")


def run(monkeypatch: pytest.MonkeyPatch, *flags: object) -> int:
    monkeypatch.setattr(sys, "argv", ["convert.py", *map(str, flags)])
    try:
        cli.run(convert.main)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("target", ["coco", "voc", "yolo", "shards"])
def test_scenes_in_every_format(
    scenes: Path,
    tmp_path: Path,
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, scenes, "--to", target, "--out", out) == 0
    text = capsys.readouterr().out
    before, after = open_parts(scenes), open_parts(out)
    for split in ("train", "val"):
        assert len(after[split]) == len(before[split])
        assert f"{split}: {len(after[split])} images, {len(after[split].boxes)} boxes" in text
    assert f"written to {out}" in text
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert run(monkeypatch, scenes, "--to", target, "--out", out) == 2
    assert "is there already; choose another name" in capsys.readouterr().err


@pytest.mark.slow
def test_the_format_and_the_pictures_can_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, far = tmp_path / "set", tmp_path / "far"
    (root / "Annotations").mkdir(parents=True)
    save_pictures(far, ["0.png", "1.png"])
    for name, kind in (("0", "ant"), ("1", "bee")):
        xml = voc_xml([(kind, (1, 1, 9, 9), False)])
        (root / f"Annotations/{name}.xml").write_text(xml)
    (root / "boxes.csv").write_text(
        "filename,class,xmin,ymin,xmax,ymax\n0.png,cow,1,1,9,9\n1.png,cow,1,1,9,9\n"
    )
    for chosen, classes in (("voc", ("ant", "bee")), ("csv", ("cow",))):
        out = tmp_path / chosen
        flags = ("--to", "coco", "--out", out, "--format", chosen, "--images", far)
        assert run(monkeypatch, root, *flags) == 0, capsys.readouterr().err
        assert open_parts(out)["train"].classes.names == classes
        assert len(open_parts(out)["train"]) == 2


def test_labels_by_a_default_name_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folders(tmp_path / "pets", {"train/cat": 2, "train/dog": 1, "val/dog": 1})
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "pets", "--to", "shards", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    parts = {"train": {"images": 3}, "val": {"images": 1}}
    assert told == {
        **{"format": "shards", "out": str(tmp_path / "converted/pets-shards"), "classes": 2},
        **{"parts": parts, "notes": [], "files": told["files"]},
    }
    assert (told["files"]["seen"], told["files"]["used"]["images"]) == (4, 4)
    assert (tmp_path / "converted/pets-shards/train/000000.tar").is_file()


@pytest.mark.slow
def test_what_is_refused(
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pets = write_folders(tmp_path / "pets", {"cat": 2, "dog": 1})
    both = write_pets(tmp_path / "both")
    (both / "annotations/xmls").mkdir()
    (both / "annotations/xmls/pug_7.xml").write_text(voc_xml([("dog", (1, 1, 9, 9), False)]))
    for flags, message in (
        ((pets, "--to", "yolo"), "holds labels, which are written as folders, shards"),
        ((scenes, "--to", "folders"), "holds boxes, which are written as coco, voc, yolo, shards"),
        ((both, "--to", "folders"), "describe 1 of 4 images) or labels; say which by --task"),
        ((pets, "--to", "folders", "--out", pets / "new"), "lies in the data"),
        ((tmp_path / "none", "--to", "coco"), "no such file or folder"),
        ((pets, "--to", "folders", "--task", "face_embedding"), "which are written as nothing"),
        ((tmp_path / "none", "--to", "coco", "--format", "voc"), "no such file or folder"),
        ((scenes, "--to", "coco", "--format", "kitti"), "not read as kitti (--format)"),
        ((pets, "--to", "coco", "--images", pets), "not recognised as a detection data set"),
        (
            (pets, *("--to", "folders", "--task", "classification", "--format", "coco")),
            "--format coco: ",
        ),
    ):
        assert run(monkeypatch, *flags) == 2
        assert message in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["both", "pets"]


def test_nothing_is_left_of_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_photos(tmp_path / "in/a", ["0.png"])
    save_photos(tmp_path / "in/b", ["0.png"])

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("datasets.written_pictures.shutil.copyfile", fail)
    flags = (tmp_path / "in", "--to", "folders", "--out", tmp_path / "out")
    assert run(monkeypatch, *flags) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


@pytest.mark.slow
def test_what_became_of_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three parts are written, and what is no part of the set is told."""
    root = write_folders(tmp_path / "in", {f"{p}/{c}": 2 for p in PARTS for c in "ab"})
    (root / "notes.md").write_text("mine")
    (root / "train/a/0.heic").write_bytes(b"x")
    for target in ("folders", "shards"):
        out = tmp_path / target
        assert run(monkeypatch, root, "--to", target, "--out", out, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["parts"] == {key: {"images": 4} for key in PARTS}
        files = told["files"]
        lost = {reason: row["files"] for reason, row in files["passed_over"].items()}
        assert (files["seen"], files["used"]["images"]) == (14, 12)
        assert lost == {
            "images of kinds that are not read": 1,
            "files that are neither images nor annotation": 1,
        }
    root = tmp_path / "voc"
    voc(root, ["0", "1", "2"])
    (root / "1.png").unlink()
    (root / "2.png").write_bytes(b"no picture")
    assert run(monkeypatch, root, "--to", "coco", "--out", tmp_path / "coco") == 0
    text = capsys.readouterr().out
    assert "        2  used: images" in text
    assert "        3  used: annotation files" in text
    assert "5  files in all" in text
