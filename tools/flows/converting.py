"""Converts a data set that can be read to a format that other programs read."""

from __future__ import annotations

import os
import shutil
from typing import Any

from configs.tools import Convert
from datasets.errors import InputError, naming
from datasets.kind import CheckOptions, Written
from datasets.kinds import recognise
from datasets.ledger import note_used, traced
from datasets.locks import remove_unfinished, unfinished
from datasets.names import shown
from tools.flows.run_folder import require_folder


def convert(args: Convert) -> tuple[dict[str, Any], str]:
    """Write a data set under a temporary name, and give it its own when it is complete.

    Args:
        args: Flags of the conversion.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If the data cannot be read, its kind cannot be written in this format, or the
            output already exists.
    """
    out = args.target()
    require_folder(out.parent)
    if os.path.lexists(out):
        raise InputError(f"--out {out}: is there already; choose another name")
    found = recognise(args.data, None if args.task == "auto" else args.task, args.said)
    args.refuse_unless(found.kind.options, found.kind.task)
    write = found.kind.targets.get(args.to)
    if write is None:
        known = ", ".join(found.kind.targets) or "nothing"
        others = [one for one in found.also if args.to in one.targets]
        hint = "".join(f"; --task {one.task} reads its {one.name}" for one in others)
        raise InputError(
            f"--to {args.to}: {args.data} holds {found.kind.name}, which are written as {known}"
            f"{hint}"
        )
    options = CheckOptions(format=args.format, images=args.images)
    remove_unfinished(out.parent, out.name)
    partial = out.with_name(unfinished(out.name, "part"))
    shutil.rmtree(partial, ignore_errors=True)  # Of a killed process of this very number.
    with traced() as trace:
        parts = found.kind.open_parts(args.data, options)
        for part in parts.values():
            note_used(part.files.tolist() if part.in_files else [])
        partial.mkdir(parents=True)
        try:
            with naming(out):
                written = write(parts, partial, link=args.link)
            partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    (ledger,) = trace.account(args.data)
    table: dict[str, Any] = {"format": args.to, "out": out, "classes": written.classes}
    table |= {"parts": {split: dict(part) for split, part in written.parts.items()}}
    table |= {"notes": list(written.notes), "files": ledger.to_json()}
    return table, "\n".join((ledger.table(), _describe(written, str(out))))


def _describe(written: Written, out: str) -> str:
    lines = [
        f"{split}: {', '.join(f'{count} {what}' for what, count in part.items())}"
        for split, part in written.parts.items()
    ]
    lines.append(f"{written.classes} classes")
    lines += [f"  {note}" for note in written.notes] or ["nothing was left out or changed"]
    return shown("\n".join([*lines, f"written to {out}"]))
