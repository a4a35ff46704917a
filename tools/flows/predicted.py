"""Begins a prediction, anew or where an interrupted one stopped, and ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.io import to_json
from configs.tools import Predict
from datasets.errors import InputError
from datasets.json_files import read_json
from datasets.locks import holding, remove_unfinished
from tools import cli
from tools.flows.addresses import is_address, without_password
from tools.flows.journal import (
    BAD,
    LINES,
    PARTIAL,
    STATE,
    Journal,
    Place,
    Replay,
    State,
    has_begun,
    read_state,
    refuse_other,
    rows_in,
)
from tools.flows.opening import digest_of
from tools.flows.results import Results, counted, shown_lines
from tools.flows.run_folder import make_folder
from tools.flows.sources import Sources, share_of
from tools.flows.tracks import TRACKS, track_lines

_LOCK = ".predict.lock"
NONE = "none of the files could be read"
# Number of unreadable files that are listed in the terminal.
LISTED = 20
# Flags that do not change the results.
_FREE = ("weights", "resume", "strict")


@dataclass
class Begun:
    """A prediction that runs.

    Attributes:
        state: What it is of.
        place: Where it continues.
        bounds: First entry, and the one after the last.
        found: Numbers of its results, if it is complete already.
    """

    state: State
    place: Place
    bounds: tuple[int, int]
    found: dict[str, Any] | None = None


@contextmanager
def begin(args: Predict, results: Results, sources: Sources) -> Iterator[Begun]:
    """Begin a prediction in its folder, in which no other process may work meanwhile.

    Raises:
        InputError: If an unfinished one is there and is not resumed, or is another one.
    """
    folder, bounds = results.folder, sources.bounds(args.share)
    if args.share[1] > 1 and args.format == "json":
        raise InputError(
            f"--part {args.part}: --format json is one object, which cannot be joined with "
            "others; take --format jsonl or csv"
        )
    make_folder(folder)
    with holding(folder / _LOCK, str(folder)):
        state = State(digest_of(args.weights), _options(args), [sources.count, *bounds])
        old = read_state(folder) if args.resume or has_begun(folder) else None
        if old is None:
            yield _anew(results, state, bounds)
        elif not args.resume and old.found is None:
            raise InputError(
                f"--out {folder}: holds an unfinished prediction: go on with it by --resume, or "
                f"delete {folder / STATE}"
            )
        elif not args.resume:
            yield _anew(results, state, bounds)
        else:
            refuse_other(state, old, folder)
            if args.share[1] > 1 and old.files is not None and old.files != state.files:
                raise InputError(
                    f"--resume {folder}: the number of files has changed since part {args.part} "
                    "was begun, so the parts no longer fit together; name another --out for each"
                )
            yield _again(args, results, old, sources, bounds)


def _anew(results: Results, state: State, bounds: tuple[int, int]) -> Begun:
    folder = results.folder
    for name in results.made():
        if any((folder / name).glob("*")):  # Of other images, or corrected by hand since.
            raise InputError(
                f"--out {folder}: {name}/ holds files already; move or delete it, or name "
                "another --out"
            )
    Journal(folder, Place()).close()
    state.write(folder)
    return Begun(state, Place(entry=bounds[0]), bounds)


def _again(
    args: Predict,
    results: Results,
    state: State,
    sources: Sources,
    bounds: tuple[int, int],
) -> Begun:
    folder = results.folder
    lines, last = folder / PARTIAL, results.file
    has_all = last.exists() and (not args.tracking.track or (folder / TRACKS).exists())
    if state.found is not None and has_all:
        lines.unlink(missing_ok=True)
        return Begun(state, Place(entry=bounds[1]), bounds, state.found)
    remove_unfinished(folder, below=True)
    if state.found is not None:  # A file with all results has been deleted.
        state.found = None
        state.write(folder)
    if last == folder / LINES and last.exists() and not lines.exists():
        last.replace(lines)  # It was complete but for the last step.
    replay = Replay(folder, args.batch_size, whole_films=args.draw or args.tracking.track)
    place = replay.run(share_of(sources, bounds))
    place = place if place.entry >= bounds[0] else Place(entry=bounds[0])
    cli.say(f"{folder}: going on after {place.done} results")
    return Begun(state, place, bounds)


def _options(args: Predict) -> dict[str, Any]:
    """Flags that determine the results, without passwords."""
    options = {key: value for key, value in to_json(args).items() if key not in _FREE}
    options["common"] = {key: options["common"][key] for key in ("threads", "device")}
    paths = [without_password(one) if is_address(one) else one for one in args.paths]
    return {**options, "paths": paths}


def finish(
    args: Predict, results: Results, begun: Begun, lines: list[str]
) -> tuple[dict[str, Any], str]:
    """Write the file of all results, and summarise them.

    Args:
        args: Flags.
        results: Results.
        begun: The prediction, which has gone through all entries.
        lines: Answers to the first images, as text.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If there are no results, although there were files.
    """
    folder = results.folder
    bad = _unreadable(folder)
    if begun.found is None:
        first, last = begun.bounds
        if not has_begun(folder) and last > first:
            for name in (PARTIAL, STATE):
                (folder / name).unlink(missing_ok=True)
            raise InputError(f"{NONE}; the reasons are in {folder / BAD}")
        counts = results.finish()
        begun.state.found = begun.found = {**counts, "unreadable": bad}
        begun.state.write(folder)
        (folder / PARTIAL).unlink(missing_ok=True)
    counts = {key: value for key, value in begun.found.items() if key != "unreadable"}
    told: dict[str, Any] = {"folder": folder, "file": results.file, "counts": counts}
    if args.common.json:
        told["unreadable"] = [str(row["error"]) for row in rows_in(folder / BAD)]
        if args.format == "json":
            told |= json.loads(results.file.read_text(encoding="utf-8"))
    text = shown_lines(lines, counts["images"]) if lines else []
    if args.tracking.track:
        told["tracks"] = read_json(folder / TRACKS)
        text += track_lines(told["tracks"])
    text.append(f"{counted(counts)}: {folder}")
    return told, "\n".join(text)


def _unreadable(folder: Path) -> int:
    """Warn of the files that could not be read; returns their number."""
    count = 0
    for row in rows_in(folder / BAD):
        count += 1
        if count <= LISTED:
            cli.say(f"warning: {row['error']}")
    if count > LISTED:
        cli.say(f"warning: ... and {count - LISTED} more, listed in {folder / BAD}")
    return count
