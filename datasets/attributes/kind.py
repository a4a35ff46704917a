"""Face attributes as a kind of data."""

from __future__ import annotations

from pathlib import Path

from datasets.attributes.checking import examine_attributes
from datasets.attributes.opening import LAYOUTS, READERS, holds_attributes, open_attributes
from datasets.attributes.structure import PARTS, AttributeData
from datasets.attributes.utkface import misnamed
from datasets.findings import Examination, Finding, first_of
from datasets.kind import CheckOptions, DataKind
from datasets.names import joined


def _find_parts(path: Path, *, named: bool) -> tuple[str, ...] | None:
    """No parts: the data set's own lists state the part of each image."""
    del named  # Nothing else has such lists.
    return () if path.is_dir() and holds_attributes(path) else None


def _examine(
    path: Path, _parts: tuple[str, ...], options: CheckOptions
) -> Examination[AttributeData]:
    """Compare a part with all others: a test image must not be used for training either."""
    whole = open_attributes(path, whole=options.split in (None, "all"))
    there = whole.names
    split, _ = options.choose(there)
    if split == "all":
        checkup = examine_attributes(whole.data, decode=options.decode)
    else:
        rest = whole.data.select(whole.parts != PARTS.index(split))
        checkup = examine_attributes(whole.part(split), rest, decode=options.decode)
    beside = joined(part for part in there if part != split) if split != "all" else ""
    checkup = checkup.with_part(options.tell(path, split, there), split, beside or None)
    odd = misnamed(path) if whole.data.format == "utkface" else []
    told = f"{len(odd)}, which state no age, gender and ethnicity: {first_of(odd)}"
    kind = "names that do not fit"
    return checkup.with_findings([Finding(kind, "dropped", str(path), None, told)] if odd else [])


ATTRIBUTES = DataKind(
    name="attributes",
    task="face_attributes",
    layouts=f"One of face attributes holds {LAYOUTS}.",
    find_parts=_find_parts,
    examine=_examine,
    formats=tuple(READERS),
)
