"""Findings of the data doctors: one line per problem, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.headers import keep_headers, probe_file
from datasets.images import decoders_differ
from datasets.ledger import UNUSABLE, Ledger, note_dropped, note_used
from datasets.names import shown
from datasets.parallel import in_threads
from datasets.types import PhotoFiles

Action = Literal["dropped", "clipped", "kept", "refused"]
Mask = NDArray[np.bool_]
Data_co = TypeVar("Data_co", covariant=True)

# If more than this share of images or boxes is unusable, the folder or format is wrong, not the
# file.
MOST_BROKEN = 0.2
_UNUSABLE = "unusable image"
# Number of names that a message lists.
_SHOWN = 12


@dataclass(frozen=True)
class Finding:
    """One problem.

    Attributes:
        kind: Kind of problem, in two or three words; findings are counted by it.
        action: What was done about it.
        file: Image (or folder of the data set).
        annotation: Id of the annotation, if the problem concerns one.
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
        return shown(f"{self.action}: {self.kind}: {self.file}{about}: {self.detail}")


@dataclass(frozen=True, kw_only=True)
class Examination(Generic[Data_co]):
    """The result of an examination.

    Attributes:
        data: The data set, corrected, without what cannot be used.
        findings: All problems.
        summary: Counts, for JSON.
        about: The counts as lines of text.
    """

    data: Data_co
    findings: tuple[Finding, ...]
    summary: dict[str, Any]
    about: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Findings by ``kind (action)``, most frequent first."""
        return dict(Counter(f"{f.kind} ({f.action})" for f in self.findings).most_common())

    @property
    def refusals(self) -> list[Finding]:
        """Findings for which training would refuse the data."""
        return [finding for finding in self.findings if finding.action == "refused"]

    def raise_if_refused(self, what: str = "") -> None:
        """Stop before training on data that cannot be right.

        Args:
            what: Description of the data, for the message.

        Raises:
            InputError: If there are refusals; the message lists them.
        """
        if self.refusals:
            told = "; ".join(f"{f.file}: {f.kind}: {f.detail}" for f in self.refusals)
            raise InputError(f"{what}: {told}" if what else told)

    def with_ledger(self, ledger: Ledger) -> Examination[Data_co]:
        """A copy that begins with what each file was used as."""
        summary = {**self.summary, "files": ledger.to_json()}
        return replace(self, summary=summary, about=(ledger.table(), *self.about))

    def with_part(self, said: str, split: str, beside: str | None) -> Examination[Data_co]:
        """A copy that states which part was examined, and with which it was compared."""
        summary = {"part": split, "compared_with": beside, **self.summary}
        compared = f", compared with {beside!r}" if beside else ""
        return replace(self, summary=summary, about=(f"examined: {said}{compared}", *self.about))

    def with_findings(self, more: Iterable[Finding]) -> Examination[Data_co]:
        """A copy with more findings in front."""
        return replace(self, findings=(*more, *self.findings))

    def describe(self, most: int = 20) -> str:
        """The examination as text: a summary, counts of findings, and the first of them."""
        return "\n".join((*self.about, *self.lines(most)))

    def lines(self, most: int) -> list[str]:
        """Counts of findings, and the first ``most`` individually, beginning with refusals."""
        if not self.findings:
            return ["nothing wrong was found"]
        ordered = sorted(self.findings, key=lambda finding: finding.action != "refused")
        out = [f"{count:6d}  {kind}" for kind, count in self.counts().items()]
        out += [f"  {finding}" for finding in ordered[:most]]
        if len(self.findings) > most:
            more = len(self.findings) - most
            out.append(f"  ... and {more} more (all by tools/check_data.py --json)")
        return out


def drop_unusable(
    files: Sequence[str] | NDArray[np.str_],
    look: Callable[[int], object],
    findings: list[Finding],
    *,
    in_files: bool = True,
) -> Mask:
    """Mask (N,) of the images that are fine; the others are noted as dropped.

    The ledger is informed, unless ``files`` are names of images in archives.

    Args:
        files: (N,) paths or names of the images.
        look: Function that examines the image of an index, and raises a ``ValueError`` that says
            what is wrong.
        findings: List to which the findings are added.
        in_files: Whether each image is a file.
    """

    def problem(index: int) -> str:
        try:
            look(index)
        except ValueError as error:
            return str(error).removeprefix(f"{files[index]}: ")
        return ""

    problems = in_threads(problem, range(len(files)), "checking images", unit="image")
    keep_headers()
    names = [str(file) for file in files]
    if in_files:
        note_used(names)
        note_dropped([file for file, text in zip(names, problems, strict=True) if text], UNUSABLE)
    for file, text in zip(names, problems, strict=True):
        if text:
            findings.append(Finding(_UNUSABLE, "dropped", file, None, text))
    return np.array([not text for text in problems], dtype=np.bool_)


def drop_unreadable(photos: PhotoFiles, findings: list[Finding], *, decode: bool) -> Mask:
    """Mask (N,) of the images that can be read; the others are noted as dropped."""

    def look(index: int) -> None:
        if decode:
            photos.image(index)
        else:
            probe_file(str(photos.files[index]))

    good = drop_unusable(photos.files, look, findings, in_files=photos.in_files)
    if decode and photos.in_files:
        note_decoders(photos.files[good].tolist(), findings)
    return good


def note_decoders(files: Sequence[str], findings: list[Finding]) -> None:
    """Note images that can be read but look different in other programs."""
    told = in_threads(decoders_differ, files, "comparing decoders", unit="image")
    for file, text in zip(files, told, strict=True):
        if text:
            findings.append(Finding("decoders disagree", "kept", file, None, text))


def refuse_broken(root: Path, good: Mask, findings: list[Finding]) -> None:
    """Refuse a data set in which more than a fifth of the images (mask (N,)) had to be dropped.

    A single image is not a sign of a wrong folder, unless it is the only one.
    """
    bad = int((~good).sum())
    if bad > max(MOST_BROKEN * len(good), min(1, len(good) - 1)):
        first = next(f for f in findings if f.kind == _UNUSABLE)
        told = f"{bad} of {len(good)}; the first is {first.file} ({first.detail})"
        detail = f"{told}. Is it the right folder?"
        kind = "images missing or unreadable"
        findings.append(Finding(kind, "refused", str(root), None, detail))


def note_shared(
    who: str,
    ours: Collection[object],
    theirs: Collection[object],
    root: Path,
    findings: list[Finding],
) -> int:
    """Note people or authors that are in both parts; returns how many there are.

    Args:
        who: What they are: people or authors.
        ours: Those of the part that is examined, sorted, each once.
        theirs: Those of the other part.
        root: Path of the data set.
        findings: List to which the findings are added.
    """
    known = set(theirs)
    both = [one for one in ours if one in known]
    if both:
        detail = f"{len(both)} of {len(ours)}; the first is {both[0]}"
        findings.append(Finding(f"{who} in both splits", "kept", str(root), None, detail))
    return len(both)


def first_of(names: Sequence[str]) -> str:
    """The first names in one line, and dots if there are more."""
    told = ", ".join(name.replace("\n", "\\n") for name in names[:_SHOWN])
    return f"{told}{', ...' if len(names) > _SHOWN else ''}"


def most_of(counts: Mapping[str, int]) -> str:
    """The names with the highest counts, and dots if there are more."""
    return first_of([f"{name} {count}" for name, count in Counter(counts).most_common()])
