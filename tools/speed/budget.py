"""The choice itself: the most accurate of the measured networks within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Limit = tuple[str, str, float, Callable[["Option"], float]]


@dataclass(frozen=True)
class Option:
    """A network: ms per image, MB of its file, and percent by the origin that is compared."""

    name: str
    ms: float
    mb: float
    mult_adds: int
    percent: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The result for a budget.

    Attributes:
        best: The most accurate network within the budget.
        nearest: If no network of known accuracy is within it, the one that exceeds it least.
        untold: If no network of known accuracy is within it, the one with the most mult-adds that
            is; among equals the largest file.
        reasons: If no network of known accuracy is within it, a sentence for each limit that
            prevents it.
    """

    best: Option | None
    nearest: Option | None = None
    untold: Option | None = None
    reasons: tuple[str, ...] = ()


def front(options: Sequence[Option], cost: Callable[[Option], float]) -> list[Option]:
    """The Pareto front, by ascending cost: networks that no other beats at the same cost or less.

    Options of unknown accuracy are ignored.
    """
    kept: list[Option] = []
    for option in sorted(_told(options), key=lambda o: (cost(o), -_percent(o))):
        if not kept or _percent(option) > _percent(kept[-1]):
            kept.append(option)
    return kept


def decide(options: Sequence[Option], ms: float | None, mb: float | None) -> Verdict:
    """The best of one or more networks within a longest time and a largest file, if given."""
    limits: list[Limit] = []
    if ms is not None:
        limits.append((f"--latency-ms {ms:g}", "ms", ms, lambda o: o.ms))
    if mb is not None:
        limits.append((f"--size-mb {mb:g}", "MB", mb, lambda o: o.mb))
    told = _told(options)
    fitting = [o for o in options if all(value(o) <= most for *_, most, value in limits)]
    best = max(_told(fitting), key=lambda o: (_percent(o), -o.ms), default=None)
    if best is not None:
        return Verdict(best)

    def excess(option: Option) -> float:
        """Factor by which a network exceeds the limit that it exceeds most."""
        return max(value(option) / most for *_, most, value in limits)

    nearest = min(told, key=excess, default=None)
    # Of one network in two precisions, the exact one.
    untold = max(fitting, key=lambda o: (o.mult_adds, o.mb), default=None)
    return Verdict(None, nearest, untold, _reasons(told, limits))


def _reasons(told: Sequence[Option], limits: Sequence[Limit]) -> tuple[str, ...]:
    if not told:
        return ("nothing is known of the accuracy of these networks",)
    alone = []
    for flag, unit, most, value in limits:
        least = min(told, key=value)
        if value(least) > most:
            alone.append(
                f"{flag} cannot be met: the least is {value(least):.2f} {unit}, {least.name}"
            )
    if alone:
        return tuple(alone)
    flags = " and ".join(flag for flag, *_ in limits)
    return (f"{flags} can each be met, but not by one network",)


def _told(options: Sequence[Option]) -> list[Option]:
    return [option for option in options if option.percent is not None]


def _percent(option: Option) -> float:
    assert option.percent is not None
    return option.percent
