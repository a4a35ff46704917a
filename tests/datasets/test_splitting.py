"""Which images are held out: a share, by names alone, and owners together."""

from pathlib import Path

import numpy as np
import pytest

from datasets.errors import InputError
from datasets.splitting import lowest, name_shares, selected, selection_share


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
