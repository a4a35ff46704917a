"""What the data doctors find: one line per thing that is wrong, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets.errors import InputError

Action = Literal["dropped", "clipped", "kept", "refused"]

# Above this share of unusable images or boxes the folder or the format is wrong, not the file.
MOST_BROKEN = 0.2
_UNUSABLE = "unusable image"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: What, in two or three words; findings are counted by it.
        action: What was done.
        file: Image (or the set's folder).
        annotation: Id of the annotation, where it is about one.
        detail: The offending value.
    """

    kind: str
    action: Action
    file: str
    annotation: int | None
    detail: str

    def __str__(self) -> str:
        """One line that names file, annotation and value."""
        about = f", annotation {self.annotation}" if self.annotation is not None else ""
        return f"{self.action}: {self.kind}: {self.file}{about}: {self.detail}"


@dataclass(frozen=True)
class Examination:
    """What an examination found.

    Attributes:
        findings: All that is wrong.
        summary: Counts, for people and for JSON.
    """

    findings: tuple[Finding, ...]
    summary: dict[str, Any]

    def counts(self) -> dict[str, int]:
        """Findings by ``kind (action)``, most frequent first."""
        return dict(Counter(f"{f.kind} ({f.action})" for f in self.findings).most_common())

    def raise_if_refused(self) -> None:
        """Stop before training on data that cannot be right.

        Raises:
            InputError: With the refusals, if there are any.
        """
        refused = [f for f in self.findings if f.action == "refused"]
        if refused:
            raise InputError("; ".join(f"{f.file}: {f.kind}: {f.detail}" for f in refused))

    def lines(self, most: int) -> list[str]:
        """Counts of findings, and the first ``most`` one by one."""
        if not self.findings:
            return ["nothing wrong was found"]
        out = [f"{count:6d}  {kind}" for kind, count in self.counts().items()]
        out += [f"  {finding}" for finding in self.findings[:most]]
        if len(self.findings) > most:
            more = len(self.findings) - most
            out.append(f"  ... and {more} more (all by tools/check_data.py --json)")
        return out


def drop_unusable(
    files: Sequence[str] | NDArray[np.str_],
    problem: Callable[[int], str],
    findings: list[Finding],
) -> NDArray[np.bool_]:
    """Mask (N,) of the pictures that are fine; the others are noted as dropped.

    Args:
        files: (N,) paths.
        problem: What is wrong with the picture of an index, or an empty text.
        findings: Is added to.
    """
    with ThreadPoolExecutor() as pool:
        work = pool.map(problem, range(len(files)))
        problems = list(tqdm(work, "checking images", len(files), unit="image", delay=2))
    for file, text in zip(files, problems, strict=True):
        if text:
            findings.append(Finding(_UNUSABLE, "dropped", str(file), None, text))
    return np.array([not text for text in problems], dtype=np.bool_)


def refuse_broken(root: Path, good: NDArray[np.bool_], findings: list[Finding]) -> None:
    """Refuse a set of whose pictures (mask (N,)) more than a fifth had to be dropped."""
    bad = int((~good).sum())
    if bad > MOST_BROKEN * len(good):
        first = next(f for f in findings if f.kind == _UNUSABLE)
        detail = (
            f"{bad} of {len(good)}; the first is {first.file} ({first.detail}). "
            "Is it the right folder?"
        )
        findings.append(
            Finding("images missing or unreadable", "refused", str(root), None, detail)
        )
