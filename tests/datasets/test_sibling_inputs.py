"""Inputs like those that people have sent, each with its right answer."""

import gzip
import shutil
from pathlib import Path

import pytest

from datasets.boxes.opening import open_detection
from datasets.boxes.tree import count_described
from datasets.errors import InputError
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels.kind import LABELS
from datasets.labels.opening import open_labelled
from datasets.ledger import NOT_WANTED, note_used, traced
from datasets.shards.tar import members, open_shards
from tests.datasets.box_sets import coco, refused, save_pictures, told, voc, write, yolo
from tests.datasets.label_fakes import write_folders
from tests.datasets.tar_fakes import jpeg, write_tar
from tests.datasets.tool_sets import write_labelme


def test_a_set_below_folders_that_hold_one_folder_each(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    yolo(tmp_path / "set/set")
    (tmp_path / "__MACOSX").mkdir()
    data = open_detection(tmp_path, "all")
    assert (len(data), data.format) == (6, "yolo")
    assert data.evidence.endswith(", in set/set/")
    assert recognise(tmp_path).kind.name == "boxes"


def test_label_files_in_capitals(tmp_path: Path) -> None:
    for file in (yolo(tmp_path) / "labels").iterdir():
        file.rename(file.with_suffix(".TXT"))
    assert len(open_detection(tmp_path, "all").boxes) == 6


def test_a_confidence_behind_each_box(tmp_path: Path) -> None:
    yolo(tmp_path, more=" 0.93")
    with pytest.raises(InputError, match=r"0.txt:1: 6 numbers; .* a confidence behind the box"):
        open_detection(tmp_path, "all")


@pytest.mark.parametrize(("one", "other"), [("cat", "cat "), ("caf\u00e9", "cafe\u0301")])
def test_classes_that_look_alike(tmp_path: Path, one: str, other: str) -> None:
    counts = told(write_folders(tmp_path, {one: 3, other: 3, "dog": 3}))
    (detail,) = (text for kind, text in counts.items() if kind.startswith("classes that look"))
    assert ascii(one) in detail
    assert ascii(other) in detail


def test_a_list_in_utf16_is_no_stray_file(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 3, "b": 3})
    rows = "image\tlabel\na/0.png\tx\nb/0.png\ty\n"
    (tmp_path / "labels.csv").write_text(rows, encoding="utf-16")
    with pytest.raises(InputError, match=r"labels.csv: not text in UTF-8"):
        open_labelled(tmp_path, "all")


def test_compressed_files_are_to_be_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "set/annotations/instances_all.json"
    content = coco(tmp_path / "set")
    write(tmp_path / "set", content)
    file.with_suffix(".json.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    for read in (recognise, lambda path: open_detection(path, "all")):
        with pytest.raises(InputError, match=r"instances_all.json.gz: archives are not read: unp"):
            read(tmp_path / "set")
    shard = write_tar(tmp_path / "0.tar", {"0.jpg": jpeg(9), "0.cls": b"1"})
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.warns(UserWarning, match="it is compressed: unpack it by gzip -d"):
        assert [*members(shard)] == []


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    save_pictures(tmp_path / "a", ["0.png", "1.png"])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a/0.png").rename(tmp_path / "a/0.jpg")
    data = open_labelled(tmp_path, "all")
    assert [data.image(k).shape for k in range(4)] == [(48, 64, 3)] * 4


def test_a_picture_is_described_once(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").touch()
    for suffix in (".xml", ".txt"):
        (tmp_path / f"0{suffix}").touch()
    assert count_described(tmp_path) == (1, 4)


def write_boxed(folder: Path, *labels: str) -> None:
    """Pictures with LabelMe's file beside each."""
    folder.mkdir(parents=True)
    for k in range(4):
        write_labelme(folder / f"{k}.png", [rectangle(labels[k % len(labels)])])
    save_pictures(folder, [f"{k}.png" for k in range(4)])


def rectangle(label: str) -> dict[str, object]:
    points = [[10, 8], [30, 28]]
    return {"label": label, "points": points, "shape_type": "rectangle"}


def test_classes_whose_photos_have_boxes(tmp_path: Path) -> None:
    """Sets beside each other have labels in common, classes have not."""
    write_boxed(tmp_path / "cats", "cat")
    write_boxed(tmp_path / "dogs", "dog", "tail")
    assert open_labelled(tmp_path, "train", whole=True).counts.tolist() == [4, 4]
    assert recognise(tmp_path).kind.name == "boxes"
    write_boxed(tmp_path / "more", "dog", "cat")
    with pytest.raises(InputError, match=r"sets of their own.*list the images in .*labels\.csv"):
        open_labelled(tmp_path, "train")


def test_classes_below_folders_that_hold_one_folder_each(tmp_path: Path) -> None:
    inner = tmp_path / "set-main/set-main"
    write_folders(inner, {"a": 4, "b": 4})
    (tmp_path / "set-main/README.md").write_text("where it is from")
    (tmp_path / "__MACOSX/set-main").mkdir(parents=True)
    for part in ("train", "val"):
        found = open_labelled(tmp_path, part)
        assert found.classes.names == ("a", "b")
        assert found.files.tolist() == open_labelled(inner, part).files.tolist()
    shutil.rmtree(inner / "b")
    assert open_labelled(tmp_path, "train", whole=True).classes.names == ("set-main",)


def test_folders_of_programs_and_logs_are_no_classes(tmp_path: Path) -> None:
    write_folders(tmp_path, {"a": 2, "b": 2})
    for name in ("docs/more/x.md", "scripts/run.py", "packed/c.zip"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "c").mkdir()
    names = open_labelled(tmp_path, "train", whole=True).classes.names
    assert names == ("a", "b", "c", "packed")  # May hold pictures; the doctor tells they do not.


def test_suffixes_in_any_case(tmp_path: Path) -> None:
    voc(tmp_path / "voc", ["0", "1"])
    for file in (tmp_path / "voc").glob("*.xml"):
        file.rename(file.with_suffix(".Xml"))
    assert len(open_detection(tmp_path / "voc", "all").boxes) == 2
    yolo(tmp_path / "yolo")
    (tmp_path / "yolo/data.yaml").rename(tmp_path / "yolo/DATA.YAML")
    assert len(open_detection(tmp_path / "yolo", "all").boxes) == 6
    save_pictures(tmp_path / "list", ["0.png", "1.png"])
    (tmp_path / "list/LABELS.CSV").write_text("path,label\n0.png,a\n1.png,b\n")
    assert len(open_labelled(tmp_path / "list", "train", whole=True)) == 2


def test_own_files_with_names_of_vocs_classes(tmp_path: Path) -> None:
    """A set of cars has one class; a piece of VOC itself has its twenty."""
    voc(tmp_path / "own", ["0", "1"], "car")
    assert open_detection(tmp_path / "own", "all").classes.names == ("car",)
    for file in (tmp_path / "own").glob("*.xml"):
        text = file.read_text().replace("<size>", "<folder>VOC2012</folder><size>")
        file.write_text(text)
    assert len(open_detection(tmp_path / "own", "all").classes) == 20


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>", "object 1 has no <ymax> in its <bndbox>"),
        ("", "object 1 has no <bndbox>; a polygon alone is not read"),
        ("<xmin>1,5</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>", "<xmin> '1,5', which is"),
    ],
)
def test_what_a_box_of_voc_lacks(tmp_path: Path, written: str, said: str) -> None:
    voc(tmp_path, ["0"])
    file = tmp_path / "0.xml"
    head, rest = file.read_text().split("<bndbox>")
    tail = rest.split("</bndbox>")[1]
    box = f"<bndbox>{written}</bndbox>" if written else "<polygon><x1>1</x1></polygon>"
    file.write_text(head + box + tail)
    with pytest.raises(InputError, match=said):
        open_detection(tmp_path, "all")


def test_a_data_file_of_classes_without_boxes_is_a_question(tmp_path: Path) -> None:
    """Some keep data.yaml beside a folder per class."""
    write_folders(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1})
    (tmp_path / "data.yaml").write_text("train: train\nval: val\nnames: [a, b]\n")
    with pytest.raises(InputError, match=r"no label file belongs to an image\) or labels; say"):
        recognise(tmp_path)
    assert len(open_labelled(tmp_path, "train")) == 4


@pytest.mark.parametrize(
    ("names", "said"), [("cat, dog", "a list of class names, as"), ("", "no 'names'")]
)
def test_names_that_are_no_list(tmp_path: Path, names: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_detection(yolo(tmp_path, f"names: {names}"), "all")


def test_classes_counted_from_one(tmp_path: Path) -> None:
    yolo(tmp_path, "names: [car]")
    with pytest.raises(
        InputError, match=r"1.txt:1: class 1 .* numbered from 0 \(are these from 1"
    ):
        open_detection(tmp_path, "all")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ({"0.cls": b"cat"}, "write numbers, and what they are called to classes.json"),
        ({"0.json": b'{"caption": "a cat"}'}, "0.json: has no 'label'"),
        ({"0.left.cls": b"1"}, r"of one name up to its first dot.*begins with 0.jpg, 0.left.cls"),
    ],
)
def test_labels_in_shards_that_are_none(
    tmp_path: Path, label: dict[str, bytes], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        open_shards(write_tar(tmp_path / "a.tar", {"0.jpg": jpeg(9), **label}))


def test_one_damaged_picture_of_few_is_dropped(tmp_path: Path) -> None:
    """A small part to validate on is not refused for it, nor is its box told of, too."""
    yolo(tmp_path)
    (tmp_path / "images/2.png").write_bytes(b"")
    for k in (3, 4, 5):
        (tmp_path / f"images/{k}.png").unlink()
    assert [kind for kind in told(tmp_path) if "kept" not in kind] == ["unusable image (dropped)"]
    (tmp_path / "images/1.png").write_bytes(b"")
    refused(tmp_path, "2 of 3")


def test_what_the_other_part_of_voc_names_is_its_own(tmp_path: Path) -> None:
    voc(tmp_path / "train", ["0", "1"])
    voc(tmp_path / "test", ["2"])
    save_pictures(tmp_path / "train", ["bare.png"])
    with traced() as trace:
        data = open_detection(tmp_path, "test")
        note_used(data.files.tolist())
    (ledger,) = trace.account(tmp_path)
    assert ledger.passed_over[NOT_WANTED].count == 2
    assert sum(one.count for one in ledger.passed_over.values()) == 3


def test_a_name_of_two_lines_is_written_in_one(tmp_path: Path) -> None:
    write_folders(tmp_path / "set", {"a\nb": 2, "c": 2})
    parts = LABELS.open_parts(tmp_path / "set", CheckOptions())
    written = LABELS.targets["folders"](parts, tmp_path / "out", link=False)
    assert "train: classes are read with other names: a b, c" in written.notes
