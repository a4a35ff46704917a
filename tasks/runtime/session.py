"""What a graph in some runtime is to its users, and what exports carry beside the graph."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Answer = dict[str, NDArray[Any]]
# What an export carries beside the graph: the card of the weights, and facts of the export.
CARD_KEY, FACTS_KEY = "card", "export"
# Among the facts: how images become the squares that are given to it, by input; none where it
# takes images of any size.
SQUARE = "square"
FORMAT = 1
# Among the facts of a network alone: what the host does before and after.
BARE = "bare"


class Session(Protocol):
    """A graph in some runtime."""

    outputs: list[str]  # names of what it gives
    single: bool  # it takes one image per call
    notes: dict[str, str]  # texts that the file carries

    def run(self, *images: Image) -> list[NDArray[Any]]:
        """Outputs for images (N, H, W, 3): for each of its inputs, in their order."""


class HeadSession:
    """One head of a graph of several, as a graph of its task alone; all are computed."""

    def __init__(self, session: Session, name: str, notes: dict[str, str]) -> None:
        self._session, self.single, self.notes = session, session.single, notes
        before = f"{name}_"
        self._mine = [k for k, one in enumerate(session.outputs) if one.startswith(before)]
        self.outputs = [session.outputs[k].removeprefix(before) for k in self._mine]

    def run(self, *images: Image) -> list[NDArray[Any]]:
        """The head's outputs for what the whole graph takes."""
        found = self._session.run(*images)
        return [found[k] for k in self._mine]
