"""Face data: LFW's list, RecordIO archives, verification files, folders of people."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from datasets.builtin import identities as demo_identities
from datasets.builtin.identities import draw_identities
from datasets.identities.lfw import choose_fold, read_faces, read_lfw
from datasets.identities.opening import open_faces, place_faces, without_people
from datasets.identities.recordio import RecordFile, read_records
from datasets.identities.verification_bin import read_bin
from tests.datasets.face_fakes import FOLDS, picture, write_pairs
from tests.datasets.record_files import write_records

_MAGIC = struct.pack("<I", 0xCED7230A)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Six people with three photos each; the grey of a photo tells both."""
    root = tmp_path / "people"
    for who in range(6):
        name = f"{chr(65 + who)}_Person"
        (root / name).mkdir(parents=True)
        for k in range(1, 4):
            (root / name / f"{name}_{k:04d}.png").write_bytes(picture(10 * who + k))
    return root


def test_pairs_in_file_order(people: Path) -> None:
    write_pairs(people, "3 1", *FOLDS)
    data = read_lfw(people)
    pairs = data.pairs
    assert pairs is not None
    assert pairs.folds.tolist() == [0, 0, 1, 1, 2, 2]
    assert pairs.same.tolist() == [True, False] * 3
    greys = [
        [int(data.image(k)[0, 0, 0]) for k in side.tolist()]
        for side in (pairs.first, pairs.second)
    ]
    assert greys == [[1, 1, 22, 21, 43, 42], [2, 13, 23, 31, 41, 52]]
    assert len(data) == 11, "images of no pair are not read"
    write_pairs(people, "3\t1", *(line.replace(" ", "\t") for line in FOLDS))
    (people / "A_Person").rename(people / "A Person")
    for file in (people / "A Person").iterdir():
        file.rename(file.with_name(file.name.replace("A_Person", "A Person")))
    text = (people / "pairs.txt").read_text().replace("A_Person", "A Person")
    (people / "pairs.txt").write_text(text)
    with_blank = read_lfw(people).pairs
    assert with_blank is not None
    assert with_blank.same.tolist() == pairs.same.tolist()


def test_a_fold_is_left_out_with_its_people(people: Path) -> None:
    write_pairs(people, "3 1", *FOLDS)
    train = open_faces(people, "train", fold=1)
    val = open_faces(people, "val", fold=1)
    assert val.pairs is not None
    assert val.pairs.tested == (0,)
    assert set(val.pairs.folds.tolist()) == {0, 2}
    assert train.classes.names == ("C_Person", "D_Person")
    assert len(train) == 6
    with pytest.raises(ValueError, match=r"--fold 4: .* has folds 1 to 3"):
        choose_fold(read_lfw(people), 4)
    with pytest.raises(ValueError, match=r"all but 0 are evaluated on too"):
        without_people(read_faces(people), read_lfw(people))


def test_a_fold_counts_or_is_refused(people: Path, tmp_path: Path) -> None:
    for path, split in ((people, "train"), (people, "val")):
        with pytest.raises(ValueError, match=r"--fold 2: .*people has no pairs.txt with folds"):
            open_faces(path, split, fold=2)  # type: ignore[arg-type]
    write_pairs(people, "3 1", *FOLDS)
    with pytest.raises(ValueError, match=r"--fold 2: of pairs; --split all compares all"):
        open_faces(people, "all", fold=2)
    (tmp_path / "parted" / "train").mkdir(parents=True)
    people.rename(tmp_path / "parted" / "val")
    other = tmp_path / "parted" / "train" / "Z_Person"
    other.mkdir()
    (other / "Z_Person_0001.png").write_bytes(picture(99))
    val = open_faces(tmp_path / "parted", "val", fold=2)
    assert val.pairs is not None
    assert val.pairs.tested == (1,)
    assert set(val.pairs.folds.tolist()) == {0, 1}
    assert open_faces(tmp_path / "parted", "train", fold=2).classes.names == ("Z_Person",)
    with pytest.raises(ValueError, match=r"--fold 9: .* has folds 1 to 3"):
        open_faces(tmp_path / "parted", "val", fold=9)
    write_records(tmp_path / "a.rec", [[picture(1)], [picture(2)]])
    (tmp_path / "a.bin").write_bytes(b"")
    for name in ("a.rec", "a.bin"):
        with pytest.raises(ValueError, match=rf"--fold 2: .*{name} has no pairs.txt"):
            open_faces(tmp_path / name, "val", fold=2)


@pytest.mark.parametrize(
    ("head", "lines", "message"),
    [
        ("3 1", (*FOLDS[:-1], "E_Person 2 F_Person 9"), "line 7: its image F_Person_0009 is not"),
        ("3 1", FOLDS[:-1], "holds 5 pairs, but its first line states 6"),
        ("3 1", (FOLDS[0], FOLDS[0], *FOLDS[2:]), "fold 1 has not 1 pairs of one person"),
        ("3 1", ("A_Person 1", *FOLDS[1:]), "line 2: neither name, number, number nor"),
        ("folds", FOLDS, "line 1: no number of folds"),
    ],
)
def test_bad_pairs(people: Path, head: str, lines: tuple[str, ...], message: str) -> None:
    write_pairs(people, head, *lines)
    with pytest.raises(ValueError, match=message):
        read_lfw(people)


def test_a_damaged_photo_of_a_pair_is_an_error(people: Path) -> None:
    write_pairs(people, "3 1", *FOLDS)
    data = read_lfw(people)
    keep = np.ones(len(data), dtype=np.bool_)
    keep[3] = False
    with pytest.raises(ValueError, match=r"Person_000\d.png: cannot be used, but a pair"):
        data.select(keep)


def test_a_list_of_one_fold_is_dealt_into_ten(people: Path) -> None:
    write_pairs(people, "3", *FOLDS[::2], *FOLDS[1::2])
    pairs = read_lfw(people).pairs
    assert pairs is not None
    assert pairs.folds.tolist() == [0, 1, 2, 0, 1, 2]


def test_people_are_held_out_whole(people: Path) -> None:
    train, val = open_faces(people, "train"), open_faces(people, "val")
    assert set(train.classes.names) | set(val.classes.names) == set(
        read_faces(people).classes.names
    )
    assert not set(train.classes.names) & set(val.classes.names)
    assert len(val.classes) >= 2
    assert val.pairs is None
    assert train.labels.max() == len(train.classes) - 1


def test_records_come_back(tmp_path: Path) -> None:
    faces = [[picture(1), picture(2)], [picture(3)], [picture(4), picture(5), picture(6)]]
    write_records(tmp_path / "train.rec", faces)
    data = open_faces(tmp_path, "all")
    assert data.format == "recordio"
    assert data.alignment == "five_points"
    assert data.labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert [int(data.image(k)[0, 0, 0]) for k in range(6)] == [1, 2, 3, 4, 5, 6]


def test_a_record_that_holds_the_magic_number(tmp_path: Path) -> None:
    """Written in three parts, the magic number left out between them."""
    data = b"1234" + _MAGIC + b"abcd" + _MAGIC + b"xyz"
    write_records(tmp_path / "a.rec", [[data]])
    assert (tmp_path / "a.rec").read_bytes().count(_MAGIC) == 5, "lead, three parts, span"
    assert RecordFile.open(tmp_path / "a.rec").picture(1) == data


def test_records_by_hand(tmp_path: Path) -> None:
    """As the format is described, without a leading record: the label is the identity."""
    chunks, index, at = [], [], 0
    for key, label in ((3, 7.0), (5, 2.0)):
        body = struct.pack("<IfQQ", 0, label, key, 0) + picture(key)
        chunk = _MAGIC + struct.pack("<I", len(body)) + body + b"\0" * (-len(body) % 4)
        index.append(f"{key}\t{at}")
        chunks.append(chunk)
        at += len(chunk)
    (tmp_path / "a.rec").write_bytes(b"".join(chunks))
    (tmp_path / "a.idx").write_text("\n".join(index))
    data = read_records(tmp_path / "a.rec")
    assert data.classes.names == ("0000002", "0000007")
    assert data.labels.tolist() == [1, 0]
    assert int(data.image(1)[0, 0, 0]) == 5


def test_damaged_records(tmp_path: Path) -> None:
    write_records(tmp_path / "a.rec", [[picture(1)], [picture(2)]])
    whole = (tmp_path / "a.rec").read_bytes()
    (tmp_path / "a.rec").write_bytes(whole[:90])
    with pytest.raises(ValueError, match=r"line 3: offset \d+, but a\.rec ends at 90"):
        read_records(tmp_path / "a.rec")
    (tmp_path / "a.rec").write_bytes(whole)
    index = (tmp_path / "a.idx").read_text()
    (tmp_path / "a.idx").write_text(index.replace("0\t0\n", "0\t4\n"))
    with pytest.raises(ValueError, match=r"record 0 does not begin where the index says"):
        read_records(tmp_path / "a.rec")
    (tmp_path / "a.idx").write_text(index.replace("0\t0\n", f"0\t{2**80}\n"))
    with pytest.raises(ValueError, match=r"line 1: no key and offset"):
        read_records(tmp_path / "a.rec")
    (tmp_path / "a.idx").write_text(index)
    lead = whole.replace(struct.pack("<2f", 3, 5), struct.pack("<2f", np.nan, np.inf), 1)
    assert lead != whole
    (tmp_path / "a.rec").write_bytes(lead)
    with pytest.raises(ValueError, match=r"record 0 has labels \(nan, inf\)"):
        read_records(tmp_path / "a.rec")
    (tmp_path / "a.idx").unlink()
    with pytest.raises(ValueError, match=r"its index a.idx is not beside it"):
        read_records(tmp_path / "a.rec")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_verification_files(tmp_path: Path, protocol: int) -> None:
    files = [picture(k) for k in range(40)]
    same = [k % 2 == 0 for k in range(20)]
    (tmp_path / "a.bin").write_bytes(pickle.dumps((files, same), protocol))
    data = open_faces(tmp_path / "a.bin", "val")
    pairs = data.pairs
    assert pairs is not None
    assert pairs.same.tolist() == same
    assert pairs.folds.tolist() == sorted([*range(10)] * 2)
    assert int(data.image(int(pairs.second[7]))[0, 0, 0]) == 15
    with pytest.raises(ValueError, match=r"no identities to train on"):
        open_faces(tmp_path / "a.bin", "train")


def test_verification_files_of_python_2_and_of_arrays(tmp_path: Path) -> None:
    # Protocol 2 with Python 2's byte strings (SHORT_BINSTRING), as the public files have.
    short = [b"abc", b"de"]
    stream = b"\x80\x02](" + b"".join(b"U" + bytes([len(s)]) + s for s in short) + b"e](\x88e\x86."
    (tmp_path / "old.bin").write_bytes(stream)
    archive = read_bin(tmp_path / "old.bin").archive
    assert archive is not None
    assert [archive.picture(0), archive.picture(1)] == short
    arrays = [np.frombuffer(picture(k), np.uint8) for k in (3, 4)]
    (tmp_path / "new.bin").write_bytes(pickle.dumps((arrays, [np.bool_(True)])))
    data = read_bin(tmp_path / "new.bin")
    assert int(data.image(1)[0, 0, 0]) == 4


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("code ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (([_Evil()], [True]), "beside images and pairs it holds builtins.print"),
        (([Path("x"), b""], [True]), r"pathlib.*, which is not loaded"),
        (([np.array([_Evil()], dtype=object)], [True]), "holds an array of"),
        (([b"1"], [True]), "1 images for 1 pairs"),
        (([1, 2], [True]), "image 0 is int, not bytes"),
        ([1], "not two lists"),
    ],
)
def test_what_is_not_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    (tmp_path / "a.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_bin(tmp_path / "a.bin")
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([b"1", b"2"], [True]))[:-4])
    with pytest.raises(ValueError, match=r"not a verification set, or damaged \(") as damaged:
        read_bin(tmp_path / "a.bin")
    assert "not loaded" not in str(damaged.value)
    (tmp_path / "a.bin").write_bytes(b"no pickle")
    with pytest.raises(ValueError, match=r"not a verification set"):
        read_bin(tmp_path / "a.bin")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.slow
def test_built_in_people(tmp_path: Path) -> None:
    root = tmp_path / "drawn"
    draw_identities(root, num_identities=67, per_identity=3, num_pairs=3, size=32)
    train, val = open_faces(root, "train"), open_faces(root, "val")
    assert not set(train.classes.names) & set(val.classes.names)
    assert len(train) == 3 * 47
    assert val.pairs is not None
    folds = [set() for _ in range(10)]  # type: ignore[var-annotated]
    for fold, first, second in zip(
        val.pairs.folds, val.labels[val.pairs.first], val.labels[val.pairs.second], strict=True
    ):
        folds[fold] |= {int(first), int(second)}
    assert len(set.union(*folds)) == sum(map(len, folds)), "a person stands in two folds"
    labels = val.labels
    assert ((labels[val.pairs.first] == labels[val.pairs.second]) == val.pairs.same).all()
    points = root / demo_identities.POINTS_NAME
    # Points are listed by path below the set; the part that was read is a folder of it.
    whole = open_faces(root / "train", "all")
    placed = place_faces(whole, alignment=None, points=points, detector=None, side=64)
    assert placed.alignment == "five_points"
    assert placed.image(0).shape == (64, 64, 3)
    with pytest.raises(ValueError, match=r"are aligned already"):
        place_faces(placed, alignment=None, points=points, detector=None, side=64)


def test_what_is_not_recognised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not recognised as face data. It should be a folder"):
        open_faces(tmp_path, "train")
    with pytest.raises(ValueError, match=r"no such file or folder"):
        open_faces(tmp_path / "none", "train")
