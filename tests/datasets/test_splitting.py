"""Which images are held out: a share, by names alone, and owners together."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InputError
from datasets.splitting import (
    Fold,
    folded,
    held_out,
    lowest,
    name_shares,
    selected,
    selection_share,
)


@pytest.mark.parametrize(
    ("number", "share"), [(10, 0.2), (10_000, 0.2), (12_500, 0.16), (100_000, 0.1), (0, 0.2)]
)
def test_a_tenth_to_a_fifth_selects(number: int, share: float) -> None:
    assert selection_share(number) == pytest.approx(share)


def test_the_lowest_numbers_are_taken_and_equal_ones_stay_together() -> None:
    shares = np.array([0.5, 0.1, 0.1, 0.9, 0.3])
    assert lowest(shares, 0.2).tolist() == [False, True, True, False, False]
    assert lowest(shares, 0.5).tolist() == [False, True, True, False, True]
    assert lowest(shares, 0.99).tolist() == [True, True, True, False, True]
    assert lowest(np.array([0.4, 0.4]), 0.1).all()


def test_a_share_is_nearly_exact_and_depends_on_names_alone() -> None:
    names = [f"image {k}.jpg" for k in range(1000)]
    mask = lowest(name_shares(names), 0.25)
    assert abs(mask.mean() - 0.25) < 0.01
    turned = lowest(name_shares(names[::-1]), 0.25)
    assert (turned[::-1] == mask).all()


def test_selected_images_depend_on_the_path_below_the_root(tmp_path: Path) -> None:
    files = [f"{k // 4}/{k}.jpg" for k in range(20)]
    one = selected([str(tmp_path / "a" / file) for file in files], tmp_path / "a")
    other = selected([str(tmp_path / "b" / file) for file in files], tmp_path / "b")
    assert (one == other).all()
    assert 0 < one.sum() < len(files)
    with pytest.raises(InputError, match="1 images"):
        selected(["x"], Path())


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(2, 7))
def test_folds_hold_each_owner_out_once(owners: list[int], count: int) -> None:
    shares = name_shares([str(owner) for owner in owners])
    masks = [Fold(number, count).held(shares) for number in range(1, count + 1)]
    total = np.sum(masks, axis=0)
    assert (total == (len(set(owners)) > 1)).all()
    for owner in set(owners):
        rows = np.array(owners) == owner
        assert all(len(set(mask[rows].tolist())) == 1 for mask in masks)


def test_folds_of_single_images_are_of_one_size() -> None:
    shares = name_shares([f"{k}.png" for k in range(23)])
    sizes = sorted(int(Fold(number, 4).held(shares).sum()) for number in range(1, 5))
    assert sizes == [5, 6, 6, 6]


def test_a_fold_is_held_out_in_its_block_alone() -> None:
    shares = name_shares([f"{k}.png" for k in range(20)])
    usual = held_out(shares)
    fold = Fold(2, 2)
    with folded(fold):
        assert held_out(shares).sum() == 10
        assert (held_out(shares, 0.2) == usual).all()
        with pytest.raises(InputError, match=r"--folds 2: 4 images or owners .* has 3 of them"):
            held_out(shares[:4], least=3)
    assert fold.used
    assert (held_out(shares) == usual).all()
