"""Answers gathered as one row for each photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.images import Image
from tools.flows.recipe import Collector

_SHOWN = 20


class PhotoRows(Collector):
    """One row for each photo, as its application tells it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._answers = self.model.answers
        self._rows: list[dict[str, Any]] = []
        self._lines: list[str] = []

    def add(self, name: str, image: Image, answer: Any) -> None:
        """Take up the answer to a photo."""
        self._rows.append({"file": name, **self._answers.to_json(answer)})
        if len(self._lines) < _SHOWN:
            self._lines.append(f"  {name}: {self._answers.line(answer)}")

    def finish(self, folder: Path, files: dict[Path, Path]) -> tuple[dict[str, Any], str]:
        """Rows, and a line for each of the first photos."""
        more = len(self._rows) - len(self._lines)
        rest = [f"  ... and {more} more"] if more else []
        lines = [*self._lines, *rest, f"{len(self._rows)} photos: {folder}"]
        return {"photos": self._rows}, "\n".join(lines)
