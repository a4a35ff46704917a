"""Faults that a reading found: what was silent, quadratic, or in an order of chance."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.boxes.opening import open_detection
from datasets.errors import InputError
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.labels.text_list import find_splits
from datasets.names import in_order
from datasets.written_pictures import unique_names
from tests.datasets.label_fakes import save_photos
from tests.house import ROOT


def test_names_of_one_number_are_ordered_whatever_the_hash_seed() -> None:
    assert in_order(["10", "07", "7", "1", "01", "7"]) == ["01", "1", "07", "7", "10"]
    assert in_order(["b", "10", "9"]) == ["10", "9", "b"]
    assert in_order(["9" * 5000, "1"]) == ["1", "9" * 5000]


def test_a_split_column_counts_in_a_list_named_after_a_part(tmp_path: Path) -> None:
    save_photos(tmp_path, [f"{k}.png" for k in range(4)])
    rows = ["0.png,a,train", "1.png,b,train", "2.png,a,val", "3.png,b,val"]
    (tmp_path / "train.csv").write_text("\n".join(["path,label,split", *rows]))
    assert [len(open_labelled(tmp_path, part)) for part in ("train", "val")] == [2, 2]
    (tmp_path / "val.csv").write_text("path,label\n3.png,b\n")
    with pytest.raises(InputError, match=r"train\.csv: its split column names train and val"):
        open_labelled(tmp_path, "train")


def test_a_table_of_something_else_is_not_used(tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        save_photos(tmp_path / folder, ["0.png"])
    (tmp_path / "scores.csv").write_text("image_id,x,y\n9,1,2\n")
    (tmp_path / "out.csv").mkdir()
    assert recognise(tmp_path).kind.name == "labels"
    assert len(open_labelled(tmp_path, "train", whole=True)) == 2


def test_lines_of_json_end_where_lines_of_files_do(tmp_path: Path) -> None:
    save_photos(tmp_path, ["0.png", "1.png"])
    rows = [{"file_name": f"{k}.png", "label": "ab"[k], "note": "x\u2028y"} for k in range(2)]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "metadata.jsonl").write_text(text, encoding="utf-8")
    assert open_labelled(tmp_path, "train", whole=True).classes.names == ("a", "b")


@pytest.mark.slow
def test_many_pictures_of_one_name_get_their_numbers_at_once() -> None:
    names = unique_names([f"{k}/image.jpg" for k in range(20_000)], {"image_3"})
    assert names[:3] == ["image.jpg", "image_2.jpg", "image_4.jpg"]
    assert len(set(names)) == 20_000


def test_a_long_line_is_looked_at_once(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a.png x" + " 1" * 20_000 + " y\n")
    assert find_splits(tmp_path) == {}


@pytest.mark.slow
def test_a_file_is_not_read_whole_for_a_look_at_its_head(tmp_path: Path) -> None:
    """With less memory than a file takes, its folder is still recognised."""
    for folder in ("cat", "dog"):
        save_photos(tmp_path / folder, ["0.png"])
    for name in ("big.data", "big.yaml"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(3 * 2**30)
    script = (
        "import resource, sys; from pathlib import Path;"
        "from datasets.boxes.opening import recognise_detection;"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31));"
        "assert recognise_detection(Path(sys.argv[1])) is None"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_embedded_pictures_are_not_kept(tmp_path: Path) -> None:
    save_photos(tmp_path, ["0.png"])
    shape = {"label": "a", "shape_type": "rectangle", "points": [[1, 1], [5, 6]]}
    content = {"imagePath": "0.png", "imageData": 5, "shapes": [shape]}
    (tmp_path / "0.json").write_text(json.dumps({"version": "5", "flags": {}, **content}))
    assert open_detection(tmp_path, "all").boxes.tolist() == [[1, 1, 5, 6]]
