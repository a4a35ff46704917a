"""Lists of pictures and classes as competitions, Hugging Face and Caffe have them."""

import json
import tracemalloc
from pathlib import Path

import pytest

from datasets.errors import InputError
from datasets.kinds import recognise
from datasets.labels import text_list
from datasets.labels.csv_list import find_splits
from datasets.labels.listed_pictures import find_pictures
from datasets.labels.opening import open_labelled, recognise_labelled
from datasets.labels.structure import LabelledData
from datasets.labels.text_list import read_numbered
from datasets.ledger import ANNOTATION, PICTURES, Ledger, traced
from tests.datasets.attribute_fakes import write_celeba
from tests.datasets.label_fakes import save_photos


def ledger_of(path: Path) -> Ledger:
    with traced() as trace:
        for split in ("train", "val"):
            open_labelled(path, split)
    trace.use_entries()
    return trace.account(path)[0]


def shown(data: LabelledData) -> list[tuple[str, str]]:
    """(path below the root, class) of each photo."""
    called = (data.classes.names[k] for k in data.labels)
    files = (Path(file).relative_to(data.root).as_posix() for file in data.files)
    return list(zip(files, called, strict=True))


KAGGLE = {
    "id,breed": ("labels.csv", "id,breed\n00a,pug\n00b,boxer\n"),
    "image_id,label": ("train.csv", "image_id,label\n00a.png,1\n00b.png,0\n"),
    "filename,class": ("train.csv", "filename,class\n00a.png,pug\n00b.png,boxer\n"),
    "image,level": ("trainLabels.csv", "image,level\n00a,1\n00b,0\n"),
    "id_code,diagnosis": ("train.csv", "id_code,diagnosis\n00a,1\n00b,0\n"),
    "Image,Id": ("train.csv", "Image,Id\n00a.png,w_1\n00b.png,w_0\n"),
    "one-hot": ("GroundTruth.csv", "image,MEL,NV\n00a,1.0,0.0\n00b,0.0,1.0\n"),
}


@pytest.mark.parametrize("header", KAGGLE)
@pytest.mark.parametrize("place", ["train", "images", "train_images", "."])
@pytest.mark.parametrize("named", [False, True])
def test_lists_of_competitions(tmp_path: Path, header: str, place: str, named: bool) -> None:
    name, text = KAGGLE[header]
    (tmp_path / name).write_text(text)
    (tmp_path / "sample_submission.csv").write_text("id,label\n00z,0\n")
    save_photos(tmp_path / place, ["00a.png", "00b.png"])
    data = open_labelled(tmp_path / name if named else tmp_path, "all")
    files = [file for file, _ in shown(data)]
    assert files == [str(Path(place) / one) for one in ("00a.png", "00b.png")]
    assert len(data.classes) == 2
    assert data.labels[0] != data.labels[1]
    assert recognise(tmp_path).kind.task == "classification"


def test_columns_of_classes_keep_their_order_and_letters(tmp_path: Path) -> None:
    save_photos(tmp_path / "in", ["a.png", "b.png"])
    (tmp_path / "truth.csv").write_text("image,NV,MEL,UNK\na,0,1,0\nb,1.0,0.0,0\n")
    data = open_labelled(tmp_path, "all")
    assert data.classes.names == ("NV", "MEL", "UNK")
    assert shown(data) == [("in/a.png", "MEL"), ("in/b.png", "NV")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,1,1", r"truth.csv: line 3: 2 of the columns NV, MEL are 1; an image has one class"),
        ("a,0,0", r"line 3: 0 of the columns"),
        ("a,0,0.3", r"line 3: MEL is neither 0 nor 1"),
        ("a,0", r"line 3: 2 fields, and number 3 is empty"),
    ],
)
def test_a_photo_of_one_class_only(tmp_path: Path, row: str, message: str) -> None:
    save_photos(tmp_path, ["a.png", "b.png"])
    (tmp_path / "truth.csv").write_text(f"image,NV,MEL\nb,1,0\n{row}\n")
    for path in (tmp_path, tmp_path / "truth.csv"):
        with pytest.raises(ValueError, match=message):
            open_labelled(path, "all")


def test_a_name_that_fits_several_pictures(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        save_photos(tmp_path / folder, ["7.png", "8.png"])
    (tmp_path / "labels.csv").write_text("id,breed\n7,pug\n8,boxer\n")
    with pytest.raises(ValueError, match=r"labels.csv: '7' may be (one|two)/7.png or"):
        open_labelled(tmp_path, "all")
    (tmp_path / "labels.csv").write_text("id,breed\ntwo/7,pug\none/8.png,boxer\n")
    files = [file for file, _ in shown(open_labelled(tmp_path, "all"))]
    assert files == ["two/7.png", "one/8.png"]


def test_the_folder_of_a_lists_part_goes_before(tmp_path: Path) -> None:
    for folder in ("train_images", "test_images"):
        save_photos(tmp_path / folder, ["7.png", "8.png"])
    (tmp_path / "train.csv").write_text("image_id,label\n7,1\n8,0\n")
    files = [file for file, _ in shown(open_labelled(tmp_path, "all"))]
    assert files == ["train_images/7.png", "train_images/8.png"]


def test_a_picture_elsewhere_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    save_photos(tmp_path / "train", ["0.png"])
    listed = tmp_path / "list.csv"
    assert find_pictures(listed, ["val/0.png"]) == [str(tmp_path / "val/0.png")]
    assert find_pictures(listed, ["C:\\set\\train\\0.png"]) == [str(tmp_path / "train/0.png")]


def test_paths_may_be_absolute_or_have_dots(tmp_path: Path) -> None:
    save_photos(tmp_path / "far", ["0.png"])
    listed = tmp_path / "near/list.csv"
    listed.parent.mkdir()
    for written in (str(tmp_path / "far/0.png"), "../far/./0.png", "..//far/0.png"):
        (found,) = find_pictures(listed, [written])
        assert Path(found).samefile(tmp_path / "far/0.png")
        assert found == str(listed.parent / written)


def test_what_is_no_list_of_pictures_is_left_alone(tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        save_photos(tmp_path / folder, ["0.png", "1.png"])
    (tmp_path / "sizes.csv").write_text("id,weight\n17,2\n18,3\n")
    (tmp_path / "words.csv").write_text("image,caption\n0,a cat\n")
    assert open_labelled(tmp_path, "all").format == "folders"
    with pytest.raises(ValueError, match=r"the first line must name the columns"):
        find_splits(tmp_path / "words.csv")


def write_metadata(root: Path, rows: list[dict[str, object]], name: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if name.endswith("jsonl"):
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        lines = [",".join(map(str, row.values())) for row in rows]
        text = "\n".join([",".join(rows[0]), *lines])
    (root / name).write_text(text + "\n", encoding="utf-8-sig")


ROWS: list[dict[str, object]] = [
    {"file_name": "0.png", "label": 10},
    {"file_name": "1.png", "label": 9},
]


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_imagefolders_of_hugging_face(tmp_path: Path, name: str) -> None:
    for split in ("train", "validation"):
        save_photos(tmp_path / "a" / split, ["0.png", "1.png"])
        write_metadata(tmp_path / "a" / split, ROWS, name)
        save_photos(tmp_path / "b" / split, ["0.png", "1.png"])
    above = [
        {**row, "file_name": f"{s}/{row['file_name']}"}
        for s in ("train", "validation")
        for row in ROWS
    ]
    write_metadata(tmp_path / "b", above, name)
    for root in (tmp_path / "a", tmp_path / "b"):
        train, val = open_labelled(root, "train"), open_labelled(root, "val")
        assert train.format == "metadata"
        assert shown(train) == [("train/0.png", "10"), ("train/1.png", "9")]
        assert train.classes.names == ("9", "10")
        assert [file for file, _ in shown(val)] == ["validation/0.png", "validation/1.png"]
        ledger = ledger_of(root)
        assert (ledger.used[PICTURES], ledger.passed_over) == (4, {})


def test_a_metadata_file_that_is_named(tmp_path: Path) -> None:
    save_photos(tmp_path, ["0.png", "1.png"])
    write_metadata(tmp_path, ROWS, "metadata.jsonl")
    for path in (tmp_path, tmp_path / "metadata.jsonl"):
        assert len(open_labelled(path, "all")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"file_name": "0.png", "label": 1}\n{"file_name"', r"jsonl: line 2: .*not valid JSON"),
        (
            '{"file_name": "0.png", "text": "a cat"}',
            r"line 1: no 'label'; a class .* file_name, t",
        ),
        ('{"file_name": "0.png", "label": 1}\n{"file_name": "1.png"}', r"line 2: no 'label'"),
        ('{"label": 1}', r"line 1: no 'file_name'"),
        ('{"file_name": "0.png", "label": [1]}', r"line 1: label: \[1\]"),
        ("[1]", r"line 1: \[1\]; an object"),
        ("\n", r"names no image"),
    ],
)
def test_broken_metadata_is_named(tmp_path: Path, text: str, message: str) -> None:
    save_photos(tmp_path, ["0.png"])
    (tmp_path / "metadata.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        open_labelled(tmp_path, "all")


def test_captions_and_boxes_are_no_classes(tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        save_photos(tmp_path / folder, ["0.png", "1.png"])
    for key, value in (("text", "a cat"), ("objects", {"bbox": [], "categories": []})):
        write_metadata(tmp_path, [{"file_name": "cat/0.png", key: value}], "metadata.jsonl")
        assert open_labelled(tmp_path, "all").format == "folders"


@pytest.mark.parametrize(
    "line", ["{} {}", "{1} {0}", "{}\t{}", "{};{}", "{1},{0}", "/{} {}", "{}, {}"]
)
def test_text_lists(tmp_path: Path, line: str) -> None:
    save_photos(tmp_path / "p", ["a.png", "b c.png" if "\t" in line else "b.png"])
    names = [f"p/{file.name}" for file in sorted((tmp_path / "p").iterdir())]
    pairs = list(zip(names, ["3", "1"], strict=True))
    text = "\n".join(line.format(*pair) for pair in pairs)
    (tmp_path / "train.txt").write_text(f"# images\n{text}\n\n")
    data = open_labelled(tmp_path, "all")
    assert data.format == "text"
    assert shown(data) == pairs
    assert data.classes.ids == (1, 3)


@pytest.mark.parametrize(
    "text", ["0 ant\n1 bee\n", "bee,1\nant,0\n", "ant\nbee\n", "1: bee\n0: ant"]
)
def test_class_lists_in_any_order(tmp_path: Path, text: str) -> None:
    save_photos(tmp_path, ["a.png", "b.png"])
    (tmp_path / "train.txt").write_text("a.png 1\n")
    (tmp_path / "val.txt").write_text("b.png 0\n")
    (tmp_path / "classes.txt").write_text(text)
    train, val = open_labelled(tmp_path, "train"), open_labelled(tmp_path, "val")
    assert train.classes.names == val.classes.names == ("ant", "bee")
    assert shown(train) + shown(val) == [("a.png", "bee"), ("b.png", "ant")]
    assert ledger_of(tmp_path).used[ANNOTATION] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 ant\n0 bee\n", "class 0 has two names, 'ant' and 'bee'"),
        ("0 ant\n1 ant\n", "names 'ant' twice"),
        ("\n", "names no class"),
    ],
)
def test_class_lists_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(ValueError, match=f"classes.txt: {message}"):
        read_numbered(tmp_path / "classes.txt")


def test_a_class_without_a_name(tmp_path: Path) -> None:
    save_photos(tmp_path, ["a.png"])
    (tmp_path / "train.txt").write_text("a.png 2\n")
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    with pytest.raises(ValueError, match=r"train.txt: class '2' is not one of the set's; .* 0, 1"):
        open_labelled(tmp_path, "all")


def test_a_broken_line_of_a_text_list(tmp_path: Path) -> None:
    lines = ["a.png 1"] * 7
    (tmp_path / "train.txt").write_text("\n".join([*lines, "b.png"]))
    with pytest.raises(ValueError, match=r"train.txt: line 8: 'b.png'; an image and its class"):
        open_labelled(tmp_path, "all")


@pytest.mark.parametrize(
    "text", ["a.png 1,2,3,4,0 5,6,7,8,1\n", "a.png\nb.png\n", "a.png b.png\n", "a.png 1 0 1\n"]
)
def test_other_text_is_no_list_of_classes(tmp_path: Path, text: str) -> None:
    save_photos(tmp_path, ["a.png", "b.png"])
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(ValueError, match="not recognised as a classification data set"):
        open_labelled(tmp_path, "all")


def test_lists_of_parts_and_people_are_none_of_classes(tmp_path: Path) -> None:
    """As CelebA has them."""
    write_celeba(tmp_path, people=(1, 2, 3, 1, 2, 3))
    assert text_list.find_splits(tmp_path) == {}
    with pytest.raises(ValueError, match=r"no classes: list_attr_celeba.txt lists attributes"):
        recognise_labelled(tmp_path)


def test_a_long_list_takes_little_memory_beside_its_text(tmp_path: Path) -> None:
    """A field without an end is refused before it is copied in four bytes a character."""
    size = 4 << 20
    (tmp_path / "list.csv").write_text('path,label\na/0.png,x\n"' + "x" * size)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"line 3: no list .field larger than field limit"):
        find_splits(tmp_path / "list.csv")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * size
