"""The results of a prediction on the disk, a line per image, so that a kill loses none of them.

While a prediction runs, its folder holds ``predict.json``, which states model and options, and two
files that only grow: ``predictions.jsonl.part`` with a line for each image or frame that was
answered, and ``unreadable.jsonl`` with a line for each file that could not be. Whatever the moment
of a kill, the files begin with complete lines; the rest is cut off, down to the end of a batch,
because a model computes in batches and another batch may round differently.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from datasets.errors import InputError, naming
from datasets.json_files import parse_json, read_json
from datasets.names import shown, shown_in
from tasks.weights.atomic_write import write_text
from tools.flows.sources import Entry

STATE, BAD, LINES = "predict.json", "unreadable.jsonl", "predictions.jsonl"
PARTIAL = f"{LINES}.part"
_VERSION = 1
_SYNC_SECONDS = 5.0


@dataclass(frozen=True)
class Place:
    """How far a prediction has come: what is kept, and where it continues.

    Attributes:
        lines: Bytes of the results that are kept.
        bad: Bytes of the list of unreadable files that are kept.
        done: Number of results that are kept.
        entry: Number of the entry to continue with.
        frame: Number of its first frame, if it is a film.
        used: Number of its frames whose results are kept.
    """

    lines: int = 0
    bad: int = 0
    done: int = 0
    entry: int = 0
    frame: int = 0
    used: int = 0


class Journal:
    """The growing files of a prediction.

    Args:
        folder: Output folder.
        place: What of them is kept; the rest is cut off.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder = folder
        self._lines = _kept(folder / PARTIAL, place.lines)
        self._bad: BinaryIO | None = None
        if place.bad or (folder / BAD).exists():
            self._bad = _kept(folder / BAD, place.bad)
        self._synced = time.monotonic()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append the results of a batch. Raises OSError if the disk is full."""
        text = "".join(f"{json.dumps(shown_in(row))}\n" for row in rows)
        _append(self._lines, text, self._folder / PARTIAL)
        now = time.monotonic()
        if now - self._synced > _SYNC_SECONDS:
            self._synced = now
            os.fsync(self._lines.fileno())

    def add_bad(self, entry: int, name: str, why: str) -> None:
        """Append an unreadable file; it is on the disk before the results that follow it."""
        if self._bad is None:
            self._bad = _kept(self._folder / BAD, 0)
        row = {"entry": entry, "file": name, "error": why}
        _append(self._bad, f"{json.dumps(shown_in(row))}\n", self._folder / BAD)
        os.fsync(self._bad.fileno())

    def close(self) -> None:
        """Wait until the disk has everything, and close the files."""
        for file in (self._lines, self._bad):
            if file is not None:
                os.fsync(file.fileno())
                file.close()
        if self._bad is not None and not (self._folder / BAD).stat().st_size:
            (self._folder / BAD).unlink()


def _kept(file: Path, length: int) -> BinaryIO:
    """A file opened for appending after its first bytes, without a buffer that a kill loses."""
    opened = file.open("ab", buffering=0)
    os.truncate(opened.fileno(), length)
    return opened


def _append(opened: BinaryIO, text: str, file: Path) -> None:
    data = memoryview(text.encode())
    with naming(file):
        while data:
            data = data[opened.write(data) :]


@dataclass
class State:
    """What a prediction is of; the content of ``predict.json``.

    Attributes:
        model: Digest of the model.
        options: Flags that determine the results.
        files: Number of all files, and the bounds of the share; None if they are not known.
        found: Numbers of a complete prediction; None while it runs.
    """

    model: str
    options: dict[str, Any]
    files: list[int] | None = None
    found: dict[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Write the file. Raises OSError if that fails."""
        data: dict[str, Any] = {"version": _VERSION, "model": self.model, "options": self.options}
        data |= {"files": self.files, "found": self.found}
        text = json.dumps(shown_in(data), indent=1)
        write_text(folder / STATE, text)


def read_state(folder: Path) -> State | None:
    """The state of the prediction in a folder; None if there is none.

    Raises:
        InputError: If it cannot be read.
    """
    file = folder / STATE
    if not file.exists():
        return None
    data: Any = read_json(file)
    try:
        if data["version"] != _VERSION:
            raise InputError(f"{file}: of another version; delete it to begin anew")
        found = data["found"]
        if found is not None and not isinstance(found["images"], int):
            raise ValueError("it counts no images")
        return State(str(data["model"]), dict(data["options"]), data.get("files"), found)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); delete it to begin anew") from error


def refuse_other(ours: State, theirs: State, folder: Path) -> None:
    """Check that a prediction to resume is the same. Raises InputError naming what differs."""
    ask = f"--resume {folder}"
    if ours.model != theirs.model:
        raise InputError(f"{ask}: was begun with another model; name that one, or another --out")
    known = json.loads(json.dumps(shown_in(ours.options)))
    for name in sorted(known.keys() | theirs.options.keys()):
        new, old = known.get(name), theirs.options.get(name)
        if new != old:
            raise InputError(
                f"{ask}: was begun with {name} {json.dumps(old)}, and not {json.dumps(new)}: "
                "repeat its flags, or name another --out"
            )


def has_begun(folder: Path) -> bool:
    """Whether a folder holds results of an unfinished prediction."""
    file = folder / PARTIAL
    return file.exists() and file.stat().st_size > 0


def rows_in(file: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a results file. Raises InputError if one is damaged."""
    for row, _ in _rows(file):
        yield row


def _rows(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each row, and the place in the file after it; none after a line that was cut."""
    if not file.exists():
        return
    place = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if not line.endswith(b"\n"):
                return
            place += len(line)
            row = parse_json(line, f"{file}:{number}")
            if not isinstance(row, dict) or not isinstance(row.get("file"), str):
                raise InputError(f"{file}:{number}: no result; delete the file to begin anew")
            yield row, place


class Replay:
    """Compares the entries of a prediction with what is on the disk.

    Args:
        folder: Output folder.
        batch_size: Number of results in a batch of images; every film begins a batch.
        whole_films: Whether a film that may be incomplete begins anew.
    """

    def __init__(self, folder: Path, batch_size: int, *, whole_films: bool) -> None:
        self._folder, self._size, self._whole = folder, batch_size, whole_films
        self._lines = _Ahead(_rows(folder / PARTIAL))
        self._bad = _Ahead(_rows(folder / BAD))
        self._in_batch = 0
        self._now = self._safe = Place()

    def run(self, entries: Iterable[tuple[int, Entry]]) -> Place:
        """Where the prediction continues.

        Args:
            entries: Number and entry of each file.

        Raises:
            InputError: If the files are not those that the results are of.
        """
        begun = False
        for number, entry in entries:
            self._now = replace(self._now, entry=number, frame=0, used=0)
            if not begun or entry.film is not None:
                self._end_batch()
            begun = True
            if not self._is_done(number, entry):
                return self._safe
        self._now = replace(self._now, entry=self._now.entry + begun, frame=0, used=0)
        self._end_batch()
        if self._lines.row is not None:
            self._refuse(self._lines.row["file"], "nothing more")
        return self._safe

    def _end_batch(self) -> None:
        self._in_batch = 0
        self._safe = self._now

    def _is_done(self, number: int, entry: Entry) -> bool:
        """Pass over an entry, if all of it is on the disk."""
        bad, row, name = self._bad.row, self._lines.row, shown_in(entry.name)
        if bad is not None and bad.get("entry") == number:
            if bad["file"] != name:
                self._refuse(bad["file"], entry.name)
            self._now = replace(self._now, bad=self._bad.take(), entry=number + 1)
            if not self._in_batch:
                self._safe = self._now
            return True
        if row is None:
            return False
        if entry.film is not None:
            return self._is_film_done(number, name, live=entry.film.live)
        if row["file"] != name:
            self._refuse(row["file"], entry.name)
        self._now = replace(self._now, entry=number + 1)
        self._count(self._size)
        return True

    def _count(self, size: int) -> None:
        """Pass over a result; after the last one of a batch the place is safe."""
        self._now = replace(self._now, lines=self._lines.take(), done=self._now.done + 1)
        self._in_batch = (self._in_batch + 1) % size
        if not self._in_batch:
            self._safe = self._now

    def _is_film_done(self, number: int, name: str, *, live: bool) -> bool:
        before, frame, size = self._safe, -1, 1 if live else self._size
        while (row := self._lines.row) is not None:
            film, _, text = row["file"].rpartition("#")
            if film != name or not text.isdecimal() or int(text) <= frame:
                break
            frame = int(text)
            self._now = replace(self._now, frame=frame + 1, used=self._now.used + 1)
            self._count(size)
        if row is None:  # There may be more frames. Those of a stream never come again.
            self._safe = before if self._whole and not live else self._safe
            return False
        if frame < 0:
            self._refuse(row["file"], name)
        self._now = replace(self._now, entry=number + 1, frame=0, used=0)
        self._end_batch()
        return True

    def _refuse(self, there: str, expected: str) -> None:
        raise InputError(
            f"--resume {self._folder}: {shown(there)} was next when it was interrupted, and now "
            f"{shown(expected)} is: the files have changed; name another --out"
        )


class _Ahead:
    """Rows with a look at the next one."""

    def __init__(self, rows: Iterator[tuple[dict[str, Any], int]]) -> None:
        self._rows, self._end = rows, 0
        self.row: dict[str, Any] | None = None
        self.take()

    def take(self) -> int:
        """Pass over the row; returns the place after it."""
        end = self._end
        self.row, self._end = next(self._rows, (None, end))
        return end
