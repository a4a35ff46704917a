"""The categories of a COCO file as classes."""

from __future__ import annotations

from collections import Counter

from datasets.errors import InputError
from datasets.fields import Fields
from datasets.findings import Finding
from datasets.types import ClassMap

Key = int | str


def categories_of(
    content: Fields, used: set[Key]
) -> tuple[ClassMap, dict[Key, int], list[Finding]]:
    """The classes of a file, the label from 1 of each id, and what was left out.

    Ids that are no numbers are numbered in the file's order.

    Roboflow's exports begin with the name of the project as a category of id 0, which is no
    class: others name it as their group. It may even carry the name of one of them.

    Raises:
        InputError: If an id or name occurs twice.
    """
    rows = content.objects("categories")
    entries = [(row.key("id"), row.text("name")) for row in rows]
    groups = {row.values.get("supercategory") for row in rows}
    names = Counter(name for _, name in entries)
    told, kept = [], []
    for row, (key, name) in zip(rows, entries, strict=True):
        is_group = row.values.get("supercategory") == "none" and name in groups
        if key not in used and (is_group or names[name] > 1):
            names[name] -= 1
            detail = f"id {key} has no box, and is the name of a group or of another class"
            kind = f"category {name!r} left out"
            told.append(Finding(kind, "dropped", str(content.file), None, detail))
        else:
            kept.append((key, name))
    numbered = all(isinstance(key, int) and abs(key) < 2**63 for key, _ in kept)
    if numbered:
        kept.sort(key=lambda entry: int(entry[0]))
    ids = [int(key) for key, _ in kept] if numbered else list(range(1, len(kept) + 1))
    if len({key for key, _ in kept}) < len(kept):
        twice, _ = Counter(key for key, _ in kept).most_common(1)[0]
        raise InputError(f"{content.file}: categories: class id {twice!r} occurs twice")
    try:
        classes = ClassMap(tuple(ids), tuple(name for _, name in kept))
    except ValueError as error:
        raise InputError(f"{content.file}: categories: {error}") from error
    return classes, {key: k for k, (key, _) in enumerate(kept, start=1)}, told
