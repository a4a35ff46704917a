"""UTKFace: what its file names tell, and names that do not fit."""

from pathlib import Path

import pytest

from datasets.attributes.opening import open_attributes
from datasets.kind import CheckOptions
from datasets.kinds import recognise
from tests.datasets.attribute_fakes import picture

FACES = {
    "UTKFace/26_1_0_20170116184024662.jpg.chip.jpg": {"White", "Age_20_to_29"},
    "UTKFace/1_0_2_20161219140623097.jpg.chip.jpg": {"Male", "Asian", "Age_0_to_2"},
    "100_0_4_20170112213500903.jpg": {"Male", "Other_Ethnicity", "Age_70_or_More"},
    "9_1_3_20161220222308131.png": {"Indian", "Age_3_to_9"},
    "10_1_1_20161220222308131.jpg": {"Black", "Age_10_to_19"},
}


def write(root: Path, names: list[str]) -> Path:
    for k, name in enumerate(names):
        picture(root / name, 20 * k)
    return root


def test_names_tell_attributes(tmp_path: Path) -> None:
    whole = open_attributes(write(tmp_path, list(FACES)), whole=True)
    data = whole.data
    assert (data.format, len(data)) == ("utkface", 5)
    for file, row in zip(data.files, data.values, strict=True):
        told = {data.attributes.names[k] for k in row.nonzero()[0]}
        assert told == FACES[Path(file).relative_to(tmp_path).as_posix()]
    assert open_attributes(tmp_path).has("val")
    assert recognise(tmp_path).kind.task == "face_attributes"


def test_names_that_do_not_fit_are_told(tmp_path: Path) -> None:
    odd = ["61_1_20170109142408075.jpg", "24_0_7_20170109142408075.jpg", "portrait.jpg"]
    write(tmp_path, [*FACES, *odd])
    found = recognise(tmp_path)
    checkup = found.kind.examine(tmp_path, found.parts, CheckOptions())
    assert checkup.summary["images"] == 5
    (told,) = [f for f in checkup.findings if f.kind == "names that do not fit"]
    assert (told.action, told.detail.split(",")[0]) == ("dropped", "3")
    assert all(name in told.detail for name in odd)


@pytest.mark.parametrize("names", [["cat.jpg", "26_1_0_20170116184024662.jpg", "dog.jpg"], []])
def test_other_pictures_are_not_taken_for_it(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path, names)
    with pytest.raises(ValueError, match="not recognised as face attributes"):
        open_attributes(tmp_path)
