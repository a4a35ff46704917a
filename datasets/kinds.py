"""All kinds of data, and recognition of the kind in a folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from datasets.attributes.kind import ATTRIBUTES
from datasets.boxes.kind import BOXES
from datasets.errors import InputError
from datasets.identities.kind import IDENTITIES
from datasets.kind import DataKind
from datasets.labels.kind import LABELS
from datasets.names import odd_file
from datasets.positions.kind import POSITIONS
from datasets.refused import refusal
from datasets.shards.finding import is_pattern
from datasets.spec import Option

# The most specific layout first: nearly every folder could be labelled images.
KINDS: tuple[DataKind, ...] = (BOXES, ATTRIBUTES, IDENTITIES, POSITIONS, LABELS)


@dataclass(frozen=True)
class Recognised:
    """The kind of data that a path is recognised as, with its parts, and other possible kinds."""

    kind: DataKind
    parts: tuple[str, ...] = ()
    also: tuple[DataKind, ...] = ()


def kind_named(name: str) -> DataKind:
    """A kind by its own name, or by that of its task.

    Args:
        name: Name of the kind or its task.

    Raises:
        InputError: If there is none of that name; the message lists the existing names.
    """
    for kind in KINDS:
        if name in (kind.name, kind.task):
            return kind
    known = ", ".join(f"{kind.name} ({kind.task})" for kind in KINDS)
    raise InputError(f"{name!r} is no kind of data; the kinds are {known}")


def recognise(path: Path, name: str | None = None, said: Collection[Option] = ()) -> Recognised:
    """Recognise what a data set holds: labelled images, unless there is something more specific.

    Folders of images are taken for classes; that they are identities must be stated by a name, as
    :func:`kind_named` takes it. If the user gives an option that only one kind understands, it is
    that kind, which then finds the parts with the option.

    Args:
        path: Path of the data set.
        name: Name of the kind or its task; None takes the most specific kind.
        said: Options that the user gave.

    Raises:
        InputError: If it is none of them; the message states what each would hold.
    """
    kinds = KINDS if name is None else (kind_named(name),)
    if what := odd_file(path):
        raise InputError(f"{path}: is {what}, and neither a file nor a folder of data")
    knowing = [kind for kind in kinds if said and kind.options.issuperset(said)]
    if len(knowing) == 1:
        return Recognised(knowing[0])
    exists = path.exists()
    for kind in kinds:
        parts = None
        if exists or kind.takes_patterns:
            parts = kind.find_parts(path, named=name is not None)
        if parts is not None:
            if name is None:
                _refuse_doubtful(path, kind)
            return Recognised(kind, parts, _also(path, kind) if name is None else ())
    if not exists and not is_pattern(path):
        raise InputError(f"{path}: no such file or folder")
    near = " ".join(filter(None, (kind.nearest(path) for kind in kinds)))
    layouts = " ".join(kind.layouts for kind in kinds)
    raise InputError(f"{path}: not recognised.{refusal(path)} {near or layouts}")


def _refuse_doubtful(path: Path, kind: DataKind) -> None:
    """Refuse a path that is doubtful while another kind is evident. Raises InputError."""
    if not (doubt := kind.doubt(path)):
        return
    for other in KINDS[KINDS.index(kind) + 1 :]:
        try:
            is_other = other.find_parts(path, named=False) is not None
        except InputError:  # It is one, if with faults.
            is_other = True
        if is_other:
            raise InputError(
                f"{path}: could be {kind.name} ({doubt}) or {other.name}; say which by --task "
                f"{kind.task} or --task {other.task}"
            )


def holding(path: Path) -> DataKind | None:
    """The kind that a path is recognised as; None if it is none, or cannot be read."""
    try:
        return recognise(path).kind
    except InputError:
        return None


def _also(path: Path, kind: DataKind) -> tuple[DataKind, ...]:
    """Other kinds of annotations that are beside those of a kind."""
    if not kind.shares_files:
        return ()
    return tuple(other for other in KINDS if other is not kind and other.is_evident(path))
