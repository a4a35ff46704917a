"""Class-balanced draws: how often, how evenly, and the same after a resume."""

from collections import Counter

import numpy as np
import pytest

from datasets.labels.sampler import BalancedSampler

LABELS = np.repeat([0, 1, 2], [90, 9, 1])


def sampler(strength: float, rank: int = 0, world: int = 1) -> BalancedSampler:
    return BalancedSampler(LABELS, strength, seed=3, rank=rank, world=world)


@pytest.mark.parametrize(
    ("strength", "classes"), [(0, [90, 9, 1]), (1, [33, 34, 33]), (0.5, [70, 22, 8])]
)
def test_classes_get_their_shares(strength: float, classes: list[int]) -> None:
    drawn = Counter(int(LABELS[image]) for _, image in sampler(strength))
    assert [drawn[k] for k in range(3)] == pytest.approx(classes, abs=1)
    assert drawn.total() == len(LABELS)


def test_images_of_a_class_take_turns_and_each_repetition_is_new() -> None:
    draws = list(sampler(1))
    assert len(set(draws)) == len(draws), "each is augmented in its own way"
    times = Counter(image for _, image in draws)
    assert {times[k] for k in range(90, 99)} <= {3, 4}
    assert max(times[k] for k in range(90)) == 1


def test_epochs_differ_and_a_resumed_one_goes_on() -> None:
    one, two = sampler(1), sampler(1)
    whole = list(one)
    two.start = 40
    assert list(two) == whole[40:]
    two.set_epoch(1)
    assert list(two) != whole


def test_processes_divide_the_epoch() -> None:
    parts = [list(sampler(1, rank, 2)) for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == sorted(sampler(1))
