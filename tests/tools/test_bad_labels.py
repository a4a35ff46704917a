"""What a user of the classification tools may get wrong: a clear message, status 2, no harm."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from tests.conftest import Tool
from tests.datasets.label_fakes import (
    save_photos,
    write_dogs,
    write_folders,
    write_pets,
    write_tiny,
)
from tests.tools.mistakes import (
    card_of,
    cut,
    empty,
    expect,
    pickled,
    without_card,
)
from tests.tools.weights_files import save_classifier

COUNTS = {"train/a": 6, "train/b": 6, "val/a": 2, "val/b": 2}
SMALL = ("--preset", "demo", "--size", 32, "--batch-size", 4, "--epochs", 1, "--workers", 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "set", COUNTS)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A fresh classifier of the classes a and b, as a run would leave it."""
    return save_classifier(tmp_path / "w.safetensors", ["a", "b"])


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--widht", "1"], ["Unrecognized options", "--widht"]),
        (["--alpha", "0"], ["--alpha 0.0 must be above 0"]),
        (["--size", "16"], ["--size 16 is too small: 32 pixels or more"]),
        (["--stem-stride", "3"], ["--stem-stride 3: choose 1 or 2"]),
        (["--variant", "thin"], ["thin", "--variant", "shallow"]),
        (["--augment", "hard"], ["hard", "--augment", "modern"]),
        (["--preset", "fast"], ["--preset fast: choose one of auto, paper"]),
        (["--crop", "2"], ["--crop 2.0 is not in (0, 1]"]),
        (["--mixup", "-1"], ["--mixup -1.0 must be 0 or more"]),
        (["--label-smoothing", "1"], ["--label-smoothing 1.0 is not in [0, 1)"]),
        (["--batch-size", "1"], ["--batch-size 1", "--freeze-bn"]),
        (["--data", "nowhere"], ["nowhere: no such file or folder"]),
        (["--weights", "nowhere"], ["nowhere: no such weights file or run folder"]),
        (["--resume", "nowhere"], ["--resume nowhere: no config.json there"]),
    ],
)
def test_flags(refused_at_once: Callable[..., None], flags: list[str], parts: list[str]) -> None:
    refused_at_once("train_cls", flags, parts)


def flat(data: Path) -> None:
    """Photos in no class folder."""
    empty(data)
    save_photos(data, ["1.png", "2.png"])


def texts(data: Path) -> None:
    """Photos that are none."""
    for file in data.rglob("*.png"):
        file.write_text("no image")


def one_class(data: Path) -> None:
    for split in ("train", "val"):
        shutil.rmtree(data / split / "b")


def class_to_validate_alone(data: Path) -> None:
    (data / "val/b").rename(data / "val/bb")


def outside_the_list(data: Path) -> None:
    (data / "synsets.txt").write_text("a alpha\nc gamma\n")


def twice_in_the_list(data: Path) -> None:
    (data / "synsets.txt").write_text("a alpha\na beta\n")


def no_utf8(data: Path) -> None:
    (data / "synsets.txt").write_bytes(b"a caf\xe9\nb b\n")


def single_photos(data: Path) -> None:
    empty(data)
    write_folders(data, {"a": 1, "b": 1})


def unknown_wnid(data: Path) -> None:
    empty(data)
    write_tiny(data)
    (data / "val/val_annotations.txt").write_text("val_0.JPEG\tn00000009\t0\t0\t9\t9\n")


def cut_mat(data: Path) -> None:
    empty(data)
    write_dogs(data)
    (data / "train_list.mat").write_bytes(b"nope")


def cut_pets_list(data: Path) -> None:
    empty(data)
    write_pets(data)
    (data / "annotations/trainval.txt").write_text("pug_7 x\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (empty, ["folder of images per class", "Tiny ImageNet", "path and label", ".tar"]),
        (flat, ["not recognised", "folder of images per class"]),
        (texts, ["12 of 12; the first is", "a/0.png (not an image", "Is it the right folder?"]),
        (one_class, ["one class only", "a; a classifier needs two or more"]),
        (class_to_validate_alone, ["val: class folder 'bb' is not in train/; the nearest is 'b'"]),
        (outside_the_list, ["class folder 'b' is not in synsets.txt; they are a, c"]),
        (twice_in_the_list, ["synsets.txt: line 2: a stands there twice"]),
        (no_utf8, ["synsets.txt: not text in UTF-8 (byte 5); save it as UTF-8"]),
        (unknown_wnid, ["val_annotations.txt: class 'n00000009' is not one", "'n00000002'"]),
        (cut_mat, ["train_list.mat: not a MATLAB file that can be read"]),
        (cut_pets_list, ["trainval.txt: line 1: 'pug_7 x'; name, class, species and breed"]),
    ],
)
def test_sets(
    tool: Tool, tmp_path: Path, photos: Path, damage: Callable[[Path], None], parts: list[str]
) -> None:
    damage(photos)
    out = tmp_path / "run"
    expect(tool("train_cls", "--data", photos, "--out", out, *SMALL), str(photos), *parts)
    expect(tool("check_data", photos), str(photos), *parts)
    assert not out.exists()


def test_a_set_that_cannot_be_parted(tool: Tool, tmp_path: Path, photos: Path) -> None:
    single_photos(photos)
    answer = tool("train_cls", "--data", photos, "--out", tmp_path / "run", *SMALL)
    expect(answer, "no class has two images", "part them into train/ and val/")
    assert not (tmp_path / "run").exists()


ROWS = "path,label,split\n" + "".join(
    f"{k}.png,{'ab'[k % 2]},{'val' if k > 7 else 'train'}\n" for k in range(12)
)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (ROWS + "1.png,,train\n", ["list.csv: line 14: 3 fields, and number 2 is empty"]),
        (ROWS + "1.png,bb,val\n", ["list.csv: class 'bb' is not one of the set's", "'b'"]),
        (ROWS + "1.png,a,tset\n", ["list.csv: line 14: split 'tset'; the nearest is 'test'"]),
        (ROWS.replace("path", "where"), ["first line must name the columns, path and label"]),
        ("path,label\n", ["list.csv: lists no image below its header"]),
        (ROWS.replace("train", "val"), ["holds nothing to train on"]),
        (
            ROWS.replace(".png", ".jpg"),
            ["missing or unreadable: 8 of 8", "0.jpg (the file is missing)"],
        ),
        (ROWS.encode("utf-16"), ["list.csv: not text in UTF-8 (byte 0)"]),
        (ROWS + "1.png,caf\udce9,train\n", ["list.csv: not text in UTF-8"]),
    ],
)
def test_lists(tool: Tool, tmp_path: Path, content: str | bytes, parts: list[str]) -> None:
    file, out = tmp_path / "list.csv", tmp_path / "run"
    save_photos(tmp_path, [f"{k}.png" for k in range(12)])
    as_bytes = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
    file.write_bytes(as_bytes)
    expect(tool("train_cls", "--data", file, "--out", out, *SMALL), str(tmp_path), *parts)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"a\nbee\n", ["no class has the id or name 'bee'; they are a, b"]),
        (b"a\nb\na\n", ["class 'a' is wanted twice"]),
        (b"# none\n", ["the list of wanted classes is empty"]),
        (b"a\n", ["one class only", "a; a classifier needs two or more"]),
        (b"\xff\xfea", ["wanted.txt: not text in UTF-8"]),
        (None, ["wanted.txt: no such file"]),
    ],
)
def test_wanted_classes(
    tool: Tool,
    tmp_path: Path,
    photos: Path,
    weights: Path,
    content: bytes | None,
    parts: list[str],
) -> None:
    wanted, out = tmp_path / "wanted.txt", tmp_path / "out"
    if content is not None:
        wanted.write_bytes(content)
    flags = ("--data", photos, "--classes", wanted, "--out", out)
    expect(tool("train_cls", *flags, *SMALL), *parts)
    expect(tool("evaluate", weights, *flags), *parts)
    expect(tool("check_data", photos, "--classes", wanted), *parts)
    assert not out.exists()


def png_of(width: int, height: int) -> bytes:
    """A PNG file that says how large it is, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


GOOD = ("cmyk.jpg", "deep.png", "dot.png", "film.gif", "grey.png")
BAD = ("bomb.png", "cut.jpg", "none.jpg", "text.jpg", "wide.png")


def odd_pictures(folder: Path) -> None:
    """Five that can be read and five that cannot, as their headers tell."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (40, 50, 3), np.uint8)
    picture = PilImage.fromarray(pixels)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    cv2.imwrite(str(folder / "deep.png"), rng.integers(0, 65535, (30, 20, 3)).astype(np.uint16))
    picture.crop((0, 0, 1, 1)).save(folder / "dot.png")
    more = [PilImage.fromarray(255 - pixels)]
    picture.save(folder / "film.gif", save_all=True, append_images=more)
    picture.convert("LA").save(folder / "grey.png")
    (folder / "bomb.png").write_bytes(png_of(60_000, 60_000))
    (folder / "wide.png").write_bytes(png_of(40_000, 30_000))
    picture.save(folder / "cut.jpg")
    cut(folder / "cut.jpg")
    (folder / "none.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no image")


@pytest.mark.slow
def test_pictures_of_every_kind(tool: Tool, tmp_path: Path, weights: Path) -> None:
    """What can be read is used; what cannot is named and left out, and the rest goes on."""
    data = write_folders(tmp_path / "set", {**COUNTS, "train/a": 20})
    odd_pictures(data / "train/a")
    status, text, err = tool("train_cls", "--data", data, "--out", tmp_path / "run", *SMALL)
    assert status == 0, err
    assert "train data: 31 images" in err
    assert "5  unusable image (dropped)" in err
    status, text, err = tool("check_data", data, "--decode")
    assert status == 0, err
    assert [name for name in (*GOOD, *BAD) if f"/{name}: " in text] == list(BAD)
    some = [data / "train/a" / name for name in (*GOOD, *BAD)]
    status, text, err = tool("predict", weights, *some, "--out", tmp_path / "seen")
    assert status == 0, err
    assert "5 images" in text
    assert [name for name in BAD if f"/{name}: " in err] == list(BAD)
    assert "Traceback" not in err


@pytest.mark.slow
def test_damage_that_no_header_tells(tool: Tool, tmp_path: Path, photos: Path) -> None:
    """Training stops at it with the file's name; the doctor's --decode finds it before."""
    (photos / "train/a/0.png").write_bytes(png_of(300, 200))
    answer = tool("train_cls", "--data", photos, "--out", tmp_path / "run", *SMALL)
    expect(answer, "a/0.png: the image is damaged")
    answer = tool("check_data", photos, "--decode")
    expect(answer, "dropped: unusable image", "a/0.png: the image is damaged", status=0)


@pytest.mark.slow
def test_small_and_empty_classes_are_told(tool: Tool, tmp_path: Path) -> None:
    """A class of one photo is trained on, a class of none keeps its column: both are said."""
    data = write_folders(tmp_path / "set", {"a": 1, "b": 6, "c": 5, "d": 0})
    answer = tool("train_cls", "--data", data, "--out", tmp_path / "run", *SMALL)
    parts = ("1 of 4 have no image here: d", "1 of 4 have a single image here: a")
    expect(answer, *parts, "2 of 4 have no image here: a, d", status=0)
    expect(tool("check_data", data), *parts, status=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--alpha", "1"], ["have alpha 0.25, the model to train 1.0; choose --alpha 0.25"]),
        (["--variant", "shallow"], ["have variant standard, the model to train shallow"]),
        (["--backbone", "vgg16"], ["have backbone mobilenet_v1, the model to train vgg16"]),
    ],
)
def test_weights_of_another_body(
    tool: Tool, tmp_path: Path, photos: Path, weights: Path, flags: list[str], parts: list[str]
) -> None:
    args = ("--data", photos, "--weights", weights, "--out", tmp_path / "run", *flags)
    expect(tool("train_cls", *args), str(weights), *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (cut, ["not a whole safetensors file"]),
        (pickled, ["not a whole safetensors file", "tools/import_weights.py"]),
        (without_card, ["carry no card", "tools/import_weights.py"]),
        (card_of(lambda card: card["model"].update(alpha=0.5)), ["another width"]),  # type: ignore[attr-defined]
        (card_of(lambda card: card["model"].update(size=64)), ["size 64 in the model, but 32"]),  # type: ignore[attr-defined]
        (card_of(lambda card: card["classes"].pop()), ["another width, head or class list"]),  # type: ignore[attr-defined]
        (card_of(lambda card: card["model"].pop("variant")), ["cannot be built", "variant"]),  # type: ignore[attr-defined]
    ],
)
def test_damaged_weights(
    tool: Tool,
    tmp_path: Path,
    photos: Path,
    weights: Path,
    damage: Callable[[Path], None],
    parts: list[str],
) -> None:
    damage(weights)
    out = tmp_path / "out"
    expect(tool("evaluate", weights, "--data", photos, "--out", out), str(weights), *parts)
    expect(tool("predict", weights, photos, "--out", out), str(weights), *parts)
    assert not out.exists()


@pytest.mark.slow
def test_data_of_other_classes(tool: Tool, tmp_path: Path, weights: Path) -> None:
    """None in common is an error; some are scored, and the others said."""
    other = write_folders(tmp_path / "other", {"train/x": 3, "train/y": 3, "val/x": 2, "val/y": 2})
    args = ("--out", tmp_path / "out", "--data", other)
    expect(tool("evaluate", weights, *args), "no class in common", "2 (a, b)", "2 (x, y)")
    assert not (tmp_path / "out").exists()
    for split in ("train", "val"):
        (other / split / "x").rename(other / split / "a")
    expect(tool("evaluate", weights, *args), "lacks 1 of the data's 2 classes (y)", status=0)


@pytest.mark.slow
def test_an_original_of_other_classes(classifier_tflite: Path, tool: Tool, photos: Path) -> None:
    expect(tool("evaluate", classifier_tflite, "--data", photos), "no class in common")


@pytest.mark.slow
def test_a_finished_run_is_not_written_over(
    tool: Tool, tmp_path: Path, photos: Path, weights: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    shutil.copy(weights, run / "model.safetensors")
    before = (run / "model.safetensors").read_bytes()
    expect(tool("train_cls", "--data", photos, "--out", run, *SMALL), "holds a run already")
    expect(tool("evaluate", run, "--data", photos, "--out", run), "report would be lost")
    assert (run / "model.safetensors").read_bytes() == before
    assert len(list(run.iterdir())) == 2
