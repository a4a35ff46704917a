"""Every file below a set of any kind is accounted for."""

import json
import os
import tempfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.images import SUFFIXES
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels.opening import open_labelled
from datasets.ledger import (
    ANNOTATION,
    ARCHIVES,
    LEFT_BEHIND,
    LINKED,
    NO_PART,
    NOT_READ,
    NOT_WANTED,
    PICTURES,
    UNUSABLE,
    UNUSED_LISTS,
    UNUSED_PART,
    Ledger,
    note_entries,
    note_used,
    traced,
)
from tests.conftest import Tool
from tests.datasets.box_sets import coco, write
from tests.datasets.every_set import SETS, TASKS
from tests.datasets.fakes import GOOD_BOXES, write_coco
from tests.datasets.label_fakes import (
    write_folders,
    write_picture,
)

# Where pictures in any folder belong to the set, or would make it one of classes.
TAKE_ALL = {"folders", "people", "lfw", "tags", "shards"}
JUNK_NAMES = (
    *("._0.jpg", "Thumbs.db", ".DS_Store", "desktop.ini", "notes.txt", "read.me", "noend"),
    *("stray.json", "stray.xml", "stray.yaml", "caf\udce9.txt", "x.heic", "y.svg", "odd.pickle"),
)
JUNK_FOLDERS = ("", "__MACOSX", ".ipynb_checkpoints", "@eaDir", "extra", "extra/deep\udcff")
JUNK_KINDS = ("file", "link", "broken link", "folder link", "empty folder")
Junk = set[tuple[str, str, str]]


def _throw_in(root: Path, junk: Junk) -> None:
    for folder, name, kind in junk:
        place = root / folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            continue
        if kind == "file":
            place.write_bytes(b"{}" if name == "stray.json" else b"x")
        elif kind == "empty folder":
            place.mkdir()
        else:
            target = {"link": root / "target", "broken link": root / "none"}.get(kind, root)
            place.symlink_to(target)


def _look(root: Path, task: str | None) -> tuple[Ledger, int]:
    """What the doctor tells of a set, and how many pictures its data hold."""
    found = recognise(root, task)
    with traced() as trace:
        checkup = found.kind.examine(root, found.parts, CheckOptions())
    (ledger,) = trace.account(root)
    return ledger, len(checkup.data)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
@settings(deadline=None, max_examples=8)
@given(
    st.sets(st.tuples(*map(st.sampled_from, (JUNK_FOLDERS, JUNK_NAMES, JUNK_KINDS))), max_size=12)
)
def test_seen_is_used_and_passed_over(name: str, junk: Junk) -> None:
    fill, (pictures, annotations, archives) = SETS[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(root)
        _throw_in(root, junk)
        if name not in TAKE_ALL:
            write_picture(root / "extra" / "outside.jpg")
        ledger, held = _look(root, TASKS.get(name))
        there = [
            Path(base, one)
            for base, folders, files in os.walk(root)
            for one in (*files, *(f for f in folders if Path(base, f).is_symlink()))
        ]
        assert ledger.seen == len(there) == sum(ledger.used.values()) + ledger.lost
        used = [ledger.used.get(role, 0) for role in (PICTURES, ANNOTATION, ARCHIVES)]
        assert used == [pictures, annotations, archives]
        assert archives or held == pictures
        assert not ledger.elsewhere
        assert name in TAKE_ALL or "extra/outside.jpg" in ledger.table()
        assert "\udce9" not in ledger.line() + ledger.table()


def test_junk_is_junk() -> None:
    assert not any(Path(name).suffix in SUFFIXES for name in JUNK_NAMES if name[0] != ".")


def _reasons(ledger: Ledger) -> dict[str, list[str]]:
    return {reason: one.examples for reason, one in ledger.passed_over.items()}


def test_each_file_has_its_reason(tmp_path: Path) -> None:
    root = write(tmp_path, coco(tmp_path))
    for name in ("images/x.png", "a/3.heic", "__MACOSX/a/._0.jpg", "readme.md", "a/stray.xml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "images/0.png").write_bytes(b"no picture")
    (root / "again").symlink_to(root / "images")
    ledger, _ = _look(root, None)
    assert _reasons(ledger) == {
        UNUSABLE: ["images/0.png"],
        NOT_READ: ["a/3.heic"],
        LEFT_BEHIND: ["__MACOSX/a/._0.jpg"],
        "images with no entry in instances_all.json": ["images/x.png"],
        NO_PART: ["readme.md", "a/stray.xml"],
        LINKED: ["again"],
    }
    assert ledger.to_json()["passed_over"][NOT_READ]["suffixes"] == {".heic": 1}
    assert ledger.line() == (
        f"{root}: 13 files: 5 images, 1 annotation file, 7 passed over (2 .md, .xml files, "
        "1 hidden and system file, 1 image of kinds that are not read, "
        "1 image that cannot be used, 1 image with no entry in instances_all.json, "
        "1 link to folders)"
    )


def test_the_other_part_is_told(tmp_path: Path) -> None:
    write_folders(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1})
    with traced() as trace:
        data = open_labelled(tmp_path, "train")
        note_entries(open_labelled(tmp_path, "val").files.tolist())
        note_used(data.files.tolist())
    (ledger,) = trace.account(tmp_path)
    assert ledger.used[PICTURES] == 4
    assert _reasons(ledger) == {NOT_WANTED: ["val/b/0.png", "val/a/0.png"]}


def _write_lists(root: Path) -> None:
    write_coco(root, GOOD_BOXES)
    write_picture(root / "test2017/0.jpg")
    (root / "annotations/instances_test2017.json").write_text("{}")


def _write_column(root: Path) -> None:
    write_folders(root, {"a": 4})
    rows = zip(("train", "train", "val", "test"), "xyxx", strict=True)
    text = "".join(f"a/{k}.png,{label},{part}\n" for k, (part, label) in enumerate(rows))
    (root / "list.csv").write_text(f"path,label,split\n{text}")


def _write_lines(root: Path) -> None:
    names = [f"{part}/{k}.jpg" for part in ("train", "val", "test") for k in range(2)]
    for name in names:
        write_picture(root / name)
    rows = [{"file_name": name, "label": name[-5]} for name in names]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


UNUSED = f"of {{}}, {UNUSED_PART}"


@pytest.mark.parametrize(
    ("fill", "held", "reasons"),
    [
        (
            lambda root: write_folders(
                root, {f"{part}/{c}": 2 for part in ("Train", "Val", "Test") for c in "ab"}
            ),
            4,
            {f"images {UNUSED.format('Test/')}": 4},
        ),
        (
            _write_lists,
            2,
            {
                f"images {UNUSED.format('test2017/')}": 1,
                UNUSED_LISTS: 1,
            },
        ),
        (
            _write_column,
            2,
            {f"images that list.csv lists for test, {UNUSED_PART}": 1},
        ),
        (_write_lines, 2, {f"images {UNUSED.format('test/')}": 2}),
    ],
)
def test_a_third_part_is_told(
    tmp_path: Path, fill: Callable[[Path], object], held: int, reasons: dict[str, int]
) -> None:
    fill(tmp_path)
    found = recognise(tmp_path)
    assert found.parts == ("train", "val", "test")
    with traced() as trace:
        checkup = found.kind.examine(tmp_path, found.parts, CheckOptions())
    trace.use_entries()
    (ledger,) = trace.account(tmp_path)
    assert len(checkup.data) == held
    assert {reason: one.count for reason, one in ledger.passed_over.items()} == reasons


def test_pictures_behind_a_link_are_found(tmp_path: Path) -> None:
    far, root = tmp_path / "far", tmp_path / "set"
    for name in ("0.jpg", "1.jpg"):
        write_picture(far / name)
        write_picture(root / "b" / name)
    (root / "a").symlink_to(far)
    ledger, held = _look(root, None)
    assert (ledger.seen, ledger.used[PICTURES], held, ledger.elsewhere) == (4, 4, 4, 0)


def test_the_doctor_counts_both_parts(tmp_path: Path, tool: Tool) -> None:
    root = write_folders(
        tmp_path / "set", {"train/a": 2, "train/b": 2, "train/c": 1, "val/a": 1, "val/b": 1}
    )
    (tmp_path / "wanted.txt").write_text("a\nb\n")
    wanted = ("--classes", tmp_path / "wanted.txt", "--json")
    status, out, err = tool("check_data", root, *wanted)
    assert status == 0, err
    files = json.loads(out)["files"]
    assert files["used"] == {"images": 6, "annotation files": 0}
    assert list(files["passed_over"]) == ["images of classes that are not wanted"]


def test_pictures_elsewhere_are_told(tmp_path: Path) -> None:
    write_picture(tmp_path / "far.jpg")
    root = write_folders(tmp_path / "set", {"a": 2})
    (root / "list.csv").write_text("path,label\na/0.png,x\na/1.png,y\n../far.jpg,x\n")
    ledger, _ = _look(root, None)
    assert (ledger.seen, ledger.used[PICTURES], ledger.elsewhere) == (3, 2, 1)
    assert "1 image elsewhere" in ledger.line()


def test_beside_a_named_file_only_its_pictures_are_looked_through(tmp_path: Path) -> None:
    SETS["csv"][0](tmp_path)
    for name in ("a/unlisted.jpg", "private/0.jpg", "beside.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    ledger, _ = _look(tmp_path / "list.csv", None)
    assert (ledger.seen, ledger.used[PICTURES], ledger.used[ANNOTATION]) == (6, 3, 1)
    assert [*chain(*_reasons(ledger).values())] == ["beside.txt", "a/unlisted.jpg"]


def test_two_paths_share_what_was_opened(tmp_path: Path) -> None:
    one, two = (write_folders(tmp_path / name, {"a": 2, "b": 1}) for name in ("one", "two"))
    with traced() as trace:
        for root in (one, two):
            note_used(open_labelled(root, "all").files.tolist())
    assert [(a.used[PICTURES], a.elsewhere) for a in trace.account(one, two)] == [(3, 0), (3, 0)]


def test_the_doctor_prints_it_first(tmp_path: Path) -> None:
    for name in ("cat/0.jfif", "cat/1.jpg", "dog/2.jpg", "dog/3.jpg"):
        write_picture(tmp_path / name)
    (tmp_path / "cat" / "4.heic").write_bytes(b"x")
    (tmp_path / "dog" / "5.jpg").write_bytes(b"no picture")
    found = recognise(tmp_path)
    with traced() as trace:
        checkup = found.kind.examine(tmp_path, found.parts, CheckOptions())
    checkup = checkup.with_ledger(*trace.account(tmp_path))
    told = checkup.describe().splitlines()
    assert told[0] == f"files below {tmp_path}:"
    assert told[1].split() == ["4", "used:", "images"]
    assert "cat/4.heic" in "".join(told[2:6])
    assert "dog/5.jpg" in "".join(told[2:6])
    assert checkup.summary["files"]["used"]["images"] == 4
