"""Every file below a labelled set is accounted for."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.images import pictures_below
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from datasets.labels.opening import account_labelled
from datasets.ledger import DAMAGED, LEFT_BEHIND, NO_PART, NOT_LISTED, NOT_READ, account
from tests.datasets.label_fakes import write_picture

FOLDERS = ["cat", "dog", "cat/more", "__MACOSX", ".ipynb_checkpoints", "@eaDir", "dog/@eaDir", "."]
NAMES = [
    *("0.jpg", "1.JFIF", "2.png", "._0.jpg", "Thumbs.db", ".DS_Store", "notes.txt", "3.heic"),
    *("desktop.ini", "4.webp", "caf\udce9.jpg", "labels.xml", "noend"),
]


@contextmanager
def tree(files: set[tuple[str, str]]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder, file in [*files, ("cat", "a.jpg"), ("dog", "b.jpg")]:
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / file).write_bytes(b"x")
        yield root


@settings(deadline=None, max_examples=60)
@given(st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES))))
def test_seen_is_used_and_passed_over(files: set[tuple[str, str]]) -> None:
    with tree(files) as root:
        ledger = account_labelled(root)
        there = [file for file in root.rglob("*") if file.is_file()]
        lost = sum(one.count for one in ledger.passed_over.values())
        assert ledger.seen == len(there) == ledger.pictures + ledger.annotations + lost
        in_classes = {*pictures_below(root / "cat"), *pictures_below(root / "dog")}
        assert ledger.pictures == len(in_classes)
        assert ledger.elsewhere == 0
        assert "\udce9" not in ledger.line()


def test_each_file_has_its_reason(tmp_path: Path) -> None:
    for name in ("a/0.jpg", "a/1.jpg", "b/2.heic", "__MACOSX/a/._0.jpg", "top.png", "readme.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    listed = tmp_path / "list.csv"
    listed.write_text("path,label\n")
    used = [str(tmp_path / "a" / name) for name in ("0.jpg", "1.jpg")]
    far = str(tmp_path.parent / "far.jpg")
    ledger = account(tmp_path, [*used, far], [listed], damaged=[used[1]])
    assert (ledger.seen, ledger.pictures, ledger.annotations, ledger.elsewhere) == (7, 1, 1, 1)
    found = {reason: one.examples for reason, one in ledger.passed_over.items()}
    assert found == {
        DAMAGED: ["a/1.jpg"],
        NOT_READ: ["b/2.heic"],
        LEFT_BEHIND: ["__MACOSX/a/._0.jpg"],
        NOT_LISTED: ["top.png"],
        NO_PART: ["readme.md"],
    }
    assert ledger.to_json()["passed_over"][NOT_READ]["suffixes"] == {".heic": 1}


def test_the_doctor_prints_it_first(tmp_path: Path) -> None:
    for name in ("cat/0.jfif", "cat/1.jpg", "dog/2.jpg", "dog/3.jpg"):
        write_picture(tmp_path / name)
    (tmp_path / "cat" / "4.heic").write_bytes(b"x")
    (tmp_path / "dog" / "5.jpg").write_bytes(b"no picture")
    found = recognise(tmp_path)
    checkup = found.kind.examine(tmp_path, found.parts, CheckOptions())
    first = checkup.describe().splitlines()[0]
    assert "6 files" in first
    assert "4 used as pictures" in first
    assert "cat/4.heic" in first
    assert "dog/5.jpg" in first
    assert checkup.summary["files"]["pictures"] == 4
