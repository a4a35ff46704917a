"""The built-in faces: CelebA's layout, people that stay themselves, attributes that show."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.attributes.opening import open_attributes
from datasets.builtin.face_drawing import (
    ATTRIBUTES,
    attributes_of,
    choose_look,
    choose_person,
    draw_face,
)
from datasets.builtin.faces import LANDMARK_LIST, draw_faces


@pytest.mark.slow
def test_the_set_is_celebas_and_the_same_again(tmp_path: Path) -> None:
    one, two = (
        draw_faces(tmp_path / name, num_identities=8, per_identity=3, size=32, seed=4)
        for name in ("one", "two")
    )
    found = open_attributes(one)
    assert found.data.attributes.names == ATTRIBUTES
    assert found.data.image(0).shape == (39, 32, 3)
    assert found.parts.tolist() == [0] * 18 + [1] * 3 + [2] * 3
    assert found.data.people is not None
    assert np.unique(found.data.people, return_counts=True)[1].tolist() == [3] * 8
    owners = [{*found.part(part).people.tolist()} for part in ("train", "val", "test")]
    assert sum(map(len, owners)) == 8
    for file in sorted(one.rglob("*.*")):
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes(), file
    rows = (one / LANDMARK_LIST).read_text().splitlines()
    points = np.array([row.split()[1:] for row in rows[2:]], int).reshape(-1, 5, 2)
    assert ((points >= 0) & (points < (32, 39))).all()
    assert (points[:, 0, 0] < points[:, 1, 0]).all(), "the left eye as seen is left"
    assert (points[:, :2, 1] < points[:, 3:, 1]).all(), "eyes are above the mouth"
    with pytest.raises(ValueError, match="three or more"):
        draw_faces(tmp_path / "few", num_identities=2)


def test_attributes_show() -> None:
    """The same photo with and without each accessory differs, and where it should."""
    person = choose_person(np.random.default_rng(1))
    look = choose_look(np.random.default_rng(2), person)
    plain = replace(
        look, beard=False, mustache=False, glasses=False, earrings=False, hat=False, gape=0.0
    )
    before, points = draw_face(np.random.default_rng(3), person, plain, 64)
    for name, attribute in (
        ("glasses", "Eyeglasses"),
        ("hat", "Wearing_Hat"),
        ("beard", "No_Beard"),
        ("mustache", "Mustache"),
        ("earrings", "Wearing_Earrings"),
    ):
        other = replace(plain, **{name: True})
        changed = {
            key
            for key, value in attributes_of(person, other).items()
            if value != attributes_of(person, plain)[key]
        }
        assert attribute in changed
        assert changed <= {attribute, "Bangs"}
        after, same = draw_face(np.random.default_rng(3), person, other, 64)
        np.testing.assert_array_equal(points, same)
        if name in ("glasses", "mustache"):  # What follows them draws no chance of its own.
            rows = np.flatnonzero((before != after).any(axis=(1, 2)))
            line = points[0, 1] if name == "glasses" else points[3, 1]
            assert abs(rows.mean() - line) < 16


def test_people_differ_and_stay() -> None:
    people = [choose_person(np.random.default_rng((0, k))) for k in range(40)]
    assert len({person.hair for person in people}) == 5
    assert 0.25 < np.mean([person.long_hair for person in people]) < 0.7
    fixed = ("Black_Hair", "Big_Nose", "Bushy_Eyebrows", "Long_Hair", "Narrow_Eyes")
    for person in people[:5]:
        looks = [choose_look(np.random.default_rng((1, k)), person) for k in range(6)]
        shown = [attributes_of(person, look) for look in looks]
        assert all(len({row[name] for row in shown}) == 1 for name in fixed)
        assert len({row["Smiling"] for row in shown}) == 2
