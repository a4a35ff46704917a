"""The choice itself: which of measured networks is most accurate within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Limit = tuple[str, str, float, Callable[["Option"], float]]


@dataclass(frozen=True)
class Option:
    """A network: ms per image, MB of its file, and percent by the one origin that is compared."""

    name: str
    ms: float
    mb: float
    mult_adds: int
    percent: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What a budget leads to.

    Attributes:
        best: The most accurate of those that keep to it.
        nearest: If none of known accuracy does, the one that exceeds it least.
        untold: If none of known accuracy does, the one of most mult-adds that does, of
            equals the largest file.
        reasons: If none of known accuracy does, why, a sentence for each limit in the way.
    """

    best: Option | None
    nearest: Option | None = None
    untold: Option | None = None
    reasons: tuple[str, ...] = ()


def front(options: Sequence[Option], cost: Callable[[Option], float]) -> list[Option]:
    """The Pareto front, by rising cost: those that no other beats at the same cost or less.

    Options of unknown accuracy are passed over.
    """
    kept: list[Option] = []
    for option in sorted(_told(options), key=lambda o: (cost(o), -_percent(o))):
        if not kept or _percent(option) > _percent(kept[-1]):
            kept.append(option)
    return kept


def decide(options: Sequence[Option], ms: float | None, mb: float | None) -> Verdict:
    """The best of one network or more within a longest time and a largest file; None is any."""
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
        """By which factor a network exceeds the limit that it exceeds most."""
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
