"""Whatever the bytes of an annotation file: it is read, or an InputError names what is wrong."""

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.boxes.checking import examine
from datasets.boxes.opening import open_detection
from datasets.errors import InputError
from tests.datasets.fakes import GOOD_BOXES, coco_content, save_pictures, voc_xml
from tests.datasets.tool_sets import OTHERS, TOOLS

LABELS = "1 .5 .5 .5 .25\n0 .25 .25 .1 .1\n0 0 0 1 0 1 1 0 1\n"
DATA = "path: .\ntrain: images\nnames: {0: cat, 1: dog}\nnc: 2\nkpt_shape: [2, 2]\n"
COCO = json.dumps(coco_content(GOOD_BOXES))
# What stands in files where something else belongs.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(allow_subnormal=False),
    st.text(max_size=8),
    st.sampled_from(
        ["", "0", "1481 px", "a\0b", "\ud800", "x" * 300, "../..", "/", "\\", "1e999"]
    ),
    st.lists(st.integers() | st.text(max_size=3) | st.none(), max_size=5),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
)
PIECES = st.binary(max_size=6) | st.sampled_from(
    [
        *(b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"{", b"]", b'"', b"<", b"&a;", b"<!DOCTYPE a>"),
        *(b"inf", b"nan", b"-", b"1e999", b"9" * 5000, b"*a", b"&a [*a]", b"!!set", b"\r", b"%"),
        *(b"[" * 3000, b"<a>" * 3000, b"\xe2\x80\xa8", b"\xd9\xa3", b"? [a]", b'"\\UFFFFFFFF"'),
    ]
)
few = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes, cut or with pieces put in place of others."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 0, 1, 2, 5, 20, 10_000])))
        content = content[:start] + draw(PIECES) + content[end:]
    return content


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    rows = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in rows:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


@st.composite
def other_values(draw: st.DrawFn, good: str) -> bytes:
    """A JSON file in which one or two values are something else, or not there."""
    content = json.loads(good)
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from(list(places(content))))
        inner: Any = content
        for key in way:
            inner = inner[key]
        if isinstance(inner, dict) and draw(st.booleans()):
            del inner[last]
        else:
            inner[last] = draw(VALUES)
    return json.dumps(content).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in each format, whose files are written again and again."""
    root = tmp_path_factory.mktemp("sets")
    save_pictures(root / "coco/train", ["0.png", "1.png"])
    save_pictures(root / "yolo/images", ["0.png", "1.png"])
    save_pictures(root / "plain/images", ["0.png", "1.png"])
    save_pictures(root / "voc", ["0.png", "1.png"])
    for name in ("coco/annotations", "yolo/labels", "plain/labels"):
        (root / name).mkdir()
    (root / "yolo/labels/0.txt").write_text(LABELS)
    (root / "yolo/data.yaml").write_text("train: images\nnames: [cat, dog]\n")
    (root / "plain/labels/0.txt").write_text(LABELS)
    (root / "voc/1.xml").write_text(voc_xml([("cat", (1, 1, 9, 9), False)]))
    return root


def is_read_or_refused(file: Path, content: bytes, root: Path) -> None:
    before = file.read_bytes() if file.exists() else None
    file.write_bytes(content)
    try:
        with warnings.catch_warnings(), contextlib.suppress(InputError):
            warnings.simplefilter("error")
            examine(open_detection(root, "all"), copies=True)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)


def bytes_of(good: str) -> Callable[..., Any]:
    return given(content=changed(good.encode()))


@pytest.mark.slow
@few
@given(content=other_values(COCO) | changed(COCO.encode()))
def test_coco(folder: Path, content: bytes) -> None:
    root = folder / "coco"
    is_read_or_refused(root / "annotations/instances_train.json", content, root)


@pytest.mark.slow
@few
@bytes_of(voc_xml([("cat", (1, 1, 9, 9), False), ("dog", (2, 3, 20, 30), True)]))
def test_voc(folder: Path, content: bytes) -> None:
    is_read_or_refused(folder / "voc/0.xml", content, folder / "voc")


@pytest.mark.slow
@few
@bytes_of(LABELS)
def test_yolo_labels(folder: Path, content: bytes) -> None:
    is_read_or_refused(folder / "yolo/labels/0.txt", content, folder / "yolo")


LONG = "a" * 300  # No file system holds such a name.


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("yolo/data.yaml", f"path: {LONG}\ntrain: images\nnames: [cat, dog]\n"),
        ("yolo/data.yaml", f"train: {LONG}\nnames: [cat, dog]\n"),
        ("plain/classes.txt", f"{LONG}\ndog\n"),
        ("coco/annotations/instances_train.json", COCO.replace("0.png", f"{LONG}.png")),
        ("voc/0.xml", voc_xml([(LONG, (1, 1, 9, 9), False)])),
    ],
)
def test_names_that_no_file_system_holds(folder: Path, file: str, content: str) -> None:
    is_read_or_refused(folder / file, content.encode(), folder / file.partition("/")[0])


@pytest.mark.slow
@few
@bytes_of(DATA)
def test_yolo_data_files(folder: Path, content: bytes) -> None:
    is_read_or_refused(folder / "yolo/data.yaml", content, folder / "yolo")


@pytest.mark.slow
@few
@bytes_of("cat\ndog\n")
def test_lists_of_classes(folder: Path, content: bytes) -> None:
    is_read_or_refused(folder / "plain/classes.txt", content, folder / "plain")


@pytest.mark.slow
@few
@bytes_of("classes = 2\ntrain = train.txt\nnames = obj.names\n")
def test_darknets_data_files(folder: Path, content: bytes) -> None:
    (folder / "plain/obj.names").write_text("cat\ndog\n")
    (folder / "plain/train.txt").write_text("images/0.png\n")
    is_read_or_refused(folder / "plain/obj.data", content, folder / "plain")


@pytest.mark.slow
@few
@bytes_of("images/0.png\nimages/1.png\n")
def test_lists_of_images(folder: Path, content: bytes) -> None:
    (folder / "yolo/list.yaml").write_text("train: list.txt\nnames: [cat, dog]\n")
    is_read_or_refused(folder / "yolo/list.txt", content, folder / "yolo/list.yaml")


@pytest.fixture(scope="module", params=[*TOOLS, *OTHERS])
def other_set(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of another format, whose first annotation file is written again and again."""
    make = (TOOLS | OTHERS)[request.param]
    return make(tmp_path_factory.mktemp("others"))


@pytest.mark.slow
@settings(few, max_examples=60)
@given(data=st.data())
def test_other_formats(other_set: Path, data: st.DataObject) -> None:
    files = (file for file in sorted(other_set.rglob("*")) if file.suffix != ".png")
    file = next(file for file in files if file.is_file())
    content = changed(file.read_bytes())
    if file.suffix == ".json":
        content |= other_values(file.read_text())
    elif file.suffix == ".jsonl":
        content |= other_values(file.read_text().splitlines()[0])
    is_read_or_refused(file, data.draw(content), other_set)
