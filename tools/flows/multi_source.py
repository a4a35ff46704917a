"""Several heads on one trunk, loaded to be exported as one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.deploy import Export
from datasets.errors import InputError
from datasets.images import Image
from tasks.applications import photo_application
from tasks.export.resize import Antialias
from tasks.multitask.cost import pass_costs
from tasks.multitask.graph import MultiGraph
from tasks.multitask.load import load_multi
from tasks.multitask.model import MultiTaskNet
from tasks.multitask.spec import TASK
from tasks.runtime.open import read_card
from tasks.runtime.session import Answer
from tasks.weights.card import Card
from tools import cli
from tools.flows.source import Source, common_facts, open_source, task_to_export


@dataclass(frozen=True)
class MultiSource:
    """A trunk with its heads, to be exported.

    Attributes:
        net: In evaluation mode, on the CPU.
        card: Of the file.
        file: It was read from.
        heads: Each as a model of its task alone, by name.
    """

    net: MultiTaskNet
    card: Card
    file: Path
    heads: dict[str, Source]

    @property
    def task(self) -> str:
        """Of the file."""
        return self.card.task

    @property
    def short_side(self) -> int | None:
        """Of photos that are not resized, only cut, in pixels; None for boxes alone."""
        sides = [one.short_side for one in self.heads.values() if one.short_side is not None]
        return sides[0] if sides else None  # A graph's heads see photos alike.

    def facts(self) -> dict[str, Any]:
        """What a float export tells of itself beside the card."""
        return {
            **common_facts(),
            "mult_adds": sum(one.together for one in pass_costs(self.net, measure=False)),
            "heads": {name: one.facts() for name, one in self.heads.items()},
        }

    def graph(self, antialias: Antialias) -> MultiGraph:
        """All heads as one graph.

        Args:
            antialias: How resizes are written (see :mod:`tasks.export.resize`).

        Raises:
            InputError: If heads see photos differently.
        """
        cards = {name: one.card for name, one in self.heads.items()}
        return MultiGraph(self.net, cards, antialias=antialias)

    def differences(
        self, photos: Sequence[Image], found: Sequence[Answer], *, resized: bool
    ) -> dict[str, float]:
        """How far an export's answers are from the models', by ``HEAD_OUTPUT``.

        Args:
            photos: That were asked about.
            found: The export's answers.
            resized: As of :meth:`tools.flows.source.Source.limits`; where nothing is resized,
                boxes are left out.

        Raises:
            InputError: If one is too far, naming head, output, photo and difference.
        """
        told: dict[str, float] = {}
        for name, source in self.heads.items():
            if source.short_side is None and not resized:
                continue
            before = f"{name}_"
            given = [
                {out.removeprefix(before): row[out] for out in row if out.startswith(before)}
                for row in found
            ]
            try:
                differences = source.differences(photos, given, resized=resized)
            except ValueError as error:
                raise InputError(f"head {name}: {error}") from error
            told |= {f"{before}{out}": value for out, value in differences.items()}
        return told


def open_any_source(args: Export) -> Source | MultiSource:
    """Load what is to be exported, of one task or of several.

    Raises:
        InputError: If it is no model that can be.
    """
    if task_to_export(args.weights) != TASK:
        return open_source(args)
    cli.prepare(args.common)
    net, cards = load_multi(args.weights, args.options)
    if not cards:
        raise InputError(f"{args.weights}: a trunk without heads answers nothing")
    takes = {f for name in cards for f in photo_application(cards[name].task, name).flags}
    args.refuse_unless(takes, f"{', '.join(cards)}, and no boxes")
    heads = {name: Source(net.head(name), one, args.weights) for name, one in cards.items()}
    return MultiSource(net, read_card(args.weights), args.weights, heads)
