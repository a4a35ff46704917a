"""The kinds of data, and one more that the product does not have."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.tools import CheckData
from datasets import kinds
from datasets.errors import InputError
from datasets.findings import Examination, Finding, drop_unreadable, refuse_broken
from datasets.images import find_images
from datasets.kind import CheckOptions, DataKind
from datasets.kinds import KINDS, kind_named, recognise
from datasets.types import PhotoFiles
from tests.conftest import Tool
from tests.datasets.fakes import GOOD_BOXES, write_coco
from tests.datasets.label_fakes import save_photos, write_folders
from tests.tools.mistakes import expect

# UTKFace's: age, gender, ethnicity and time.
_NAME = re.compile(r"(\d{1,3})_[01]_[0-4]_\d+")


@dataclass(frozen=True)
class Ages(PhotoFiles):
    """Photos with the age of whom each shows."""

    ages: NDArray[np.int64]


def open_ages(path: Path) -> Ages:
    told = [(file, found) for file in find_images(path) if (found := _NAME.match(file.name))]
    files = np.array([str(file) for file, _ in told], dtype=np.str_)
    return Ages(
        "ages", path, files, np.array([int(found[1]) for _, found in told], dtype=np.int64)
    )


def find_age_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    del named
    return ("train",) if path.is_dir() and len(open_ages(path).files) else None


def examine_ages(path: Path, parts: tuple[str, ...], options: CheckOptions) -> Examination[Ages]:
    assert options.choose(parts) == (options.split or "all", None)
    data, findings = open_ages(path), list[Finding]()
    good = drop_unreadable(data, findings, decode=options.decode)
    refuse_broken(path, good, findings)
    kept = replace(data, files=data.files[good], ages=data.ages[good])
    summary = {"images": len(kept.files), "oldest": int(kept.ages.max())}
    about = (f"{len(kept.files)} images, ages to {kept.ages.max()}",)
    return Examination(data=kept, findings=tuple(findings), summary=summary, about=about)


AGES = DataKind(
    name="ages",
    task="age_regression",
    layouts="One of ages holds images such as 25_0_1_20170116.jpg.",
    find_parts=find_age_parts,
    examine=examine_ages,
)


@pytest.fixture
def with_ages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of photos of a kind that only this test knows."""
    monkeypatch.setattr(kinds, "KINDS", (AGES, *KINDS))
    (tmp_path / "faces").mkdir()
    save_photos(tmp_path, [f"faces/{age}_0_1_{age:08d}.png" for age in range(20, 30)])
    return tmp_path


def test_another_kind_is_recognised(with_ages: Path) -> None:
    assert recognise(with_ages / "faces").kind is AGES
    assert recognise(with_ages / "faces").parts == ("train",)
    assert kind_named("ages") is kind_named("age_regression") is AGES
    assert recognise(with_ages / "faces", "age_regression").kind is AGES
    coco = write_coco(with_ages / "coco", GOOD_BOXES)
    assert recognise(coco).kind.task == "detection", "what was recognised before still is"
    classes = write_folders(with_ages / "classes", {"a": 1, "b": 1})
    assert recognise(classes).kind.task == "classification"
    (with_ages / "empty").mkdir()
    with pytest.raises(InputError, match=re.escape(AGES.layouts)):
        recognise(with_ages / "empty")


@pytest.mark.slow
@pytest.mark.parametrize("decode", [(), ("--decode",)])
def test_another_kind_is_examined(with_ages: Path, tool: Tool, decode: tuple[str, ...]) -> None:
    faces = with_ages / "faces"
    (faces / "29_0_1_00000029.png").write_text("no image")
    status, text, err = tool("check_data", faces, "--json", *decode)
    assert status == 0, err
    report: dict[str, Any] = json.loads(text)
    assert (report["task"], report["images"], report["oldest"]) == ("age_regression", 9, 28)
    assert [finding["kind"] for finding in report["findings"]] == ["unusable image"]
    answer = tool("check_data", faces, *decode)
    expect(answer, "9 images, ages to 28", "29_0_1_00000029.png", status=0)


@pytest.mark.slow
def test_the_doctor_of_another_kind_refuses(with_ages: Path, tool: Tool) -> None:
    faces = with_ages / "faces"
    answer = tool("check_data", faces, "--classes", "list.txt")
    expect(answer, f"--classes list.txt: {faces} is examined for age_regression")
    expect(tool("check_data", faces, "--size", 320), "--size 320:", "age_regression")
    for age in range(20, 24):
        (faces / f"{age}_0_1_{age:08d}.png").write_text("no image")
    expect(tool("check_data", faces), "refused: images missing or unreadable", "4 of 10")


def test_an_unknown_kind_raises(tmp_path: Path) -> None:
    for call in (lambda: kind_named("ages"), lambda: recognise(tmp_path, "ages")):
        with pytest.raises(InputError, match=r"'ages' is no kind of data; the kinds are boxes"):
            call()


def test_each_kind_has_names_of_its_own() -> None:
    names = [name for kind in KINDS for name in (kind.name, kind.task)]
    assert len(names) == len(set(names))
    assert all(kind_named(kind.task) is kind_named(kind.name) is kind for kind in KINDS)


def test_the_doctor_offers_every_kind() -> None:
    literals = get_args(get_type_hints(CheckData)["task"])
    offered = {name for literal in literals for name in get_args(literal)}
    assert offered == {"auto", *(kind.task for kind in KINDS)}


def test_parts_that_are_examined_and_compared() -> None:
    both = ("train", "val")
    assert CheckOptions().choose(both) == ("train", "val")
    assert CheckOptions(split="val").choose(both) == ("val", "train")
    assert CheckOptions(split="all").choose(both) == ("all", None)
    assert CheckOptions().choose(("train",)) == ("all", None), "a set that is not parted"
    assert CheckOptions(split="val").choose(("train",)) == ("val", "train"), "which gives it up"
    assert CheckOptions().choose(("val",)) == ("all", None)
    assert CheckOptions().choose(()) == ("train", None)
