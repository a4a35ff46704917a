"""Faces by identity as a kind of data."""

from __future__ import annotations

from pathlib import Path

from datasets.findings import Examination
from datasets.identities.checking import open_examined
from datasets.identities.opening import LAYOUTS, find_face_parts, tell_faces
from datasets.identities.structure import FaceData
from datasets.kind import CheckOptions, DataKind


def _examine(path: Path, parts: tuple[str, ...], options: CheckOptions) -> Examination[FaceData]:
    split, other = options.choose(parts)
    checkup = open_examined(path, split, other, decode=options.decode)
    said = tell_faces(path, split, parts, hint=options.split is None)
    return checkup.with_part(said, split, other)


IDENTITIES = DataKind(
    name="identities",
    task="face_embedding",
    layouts=f"One of faces by identity is {LAYOUTS}.",
    find_parts=find_face_parts,
    examine=_examine,
    formats=("folder per person", "LFW", "RecordIO", "pairs as .bin"),
)
