"""Every reader of others' files on inputs that were damaged at random, in bounded processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import NamedTuple

from tqdm import tqdm

from tests.campaign.children import Ended, work_on
from tests.campaign.mutations import mutated
from tests.campaign.readers import Reader, all_readers
from tests.campaign.summary import Tally

_PICTURES = (".jpg", ".png", ".jpeg")
# Imported once instead of by each child, for readers whose names begin so.
_IMPORTED = {
    "export-onnx": ("onnxruntime",),
    "export-openvino": ("openvino",),
    "export-litert": ("ai_edge_litert.interpreter",),
    "export-executorch": ("executorch.runtime",),
    "import-": ("h5py", "onnxruntime", "ai_edge_litert.interpreter", "tools.recipes"),
    "resume": ("tools.train_cls", "tools.flows.training", "tools.classification.recipe"),
    "": ("pyarrow.parquet",),
}


class Input(NamedTuple):
    """The input of a number for a reader; with the seed it is the same wherever it is made."""

    reader: Reader
    number: int


def fuzz(
    count: int, seed: int, jobs: int, only: Sequence[str], keep: Path, number: int | None = None
) -> Tally:
    """Try inputs on readers.

    Args:
        count: Inputs over all readers.
        seed: Of all.
        jobs: Processes at once.
        only: Readers, or beginnings of their names; all if it is empty.
        keep: Folder for inputs that end otherwise than they should.
        number: The one input of a number alone, to be repeated in this process.
    """
    chosen = [one for one in all_readers() if not only or one.name.startswith(tuple(only))]
    if not chosen:
        raise SystemExit(f"no such reader; there are {', '.join(r.name for r in all_readers())}")
    seeds = Path(mkdtemp(prefix="campaign-seeds-"))
    work = partial(_try, seeds, seed)
    try:
        if number is not None:
            _write_all(chosen[:1], seeds)
            folder = change(Input(chosen[0], number), seed, seeds / chosen[0].name, keep / "again")
            print(folder, flush=True)
            chosen[0].read(folder, Random(f"read/{seed}/{number}"))
            raise SystemExit(0)
        tally = Tally("fuzz")
        _write_all(chosen, seeds)
        for name in {
            module
            for start, modules in _IMPORTED.items()
            for module in modules
            if any(reader.name.startswith(start) for reader in chosen)
        }:
            with contextlib.suppress(ImportError):
                import_module(name)
        ended = work_on(_inputs(chosen, count), work, jobs)
        for one in tqdm(ended, "fuzz", count, unit="input", smoothing=0.05):
            _count(tally, one, seed, seeds, keep)
        return tally
    finally:
        shutil.rmtree(seeds, ignore_errors=True)


def _write_all(chosen: Sequence[Reader], seeds: Path) -> None:
    """Write a sound input for each reader, in a process of its own.

    What exports and trains there starts threads, without which later children are forked.
    """
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.dup2(2, 1)
            for reader in tqdm(chosen, "sound inputs", unit="reader"):
                (seeds / reader.name).mkdir()
                reader.write(seeds / reader.name)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("a sound input could not be written")


def _inputs(chosen: Sequence[Reader], count: int) -> Iterator[Input]:
    """All inputs, those of a reader one behind the other."""
    shares = sum(reader.share for reader in chosen)
    begun = 0.0
    for reader in chosen:
        first, begun = round(count * begun / shares), begun + reader.share
        for number in range(round(count * begun / shares) - first):
            yield Input(reader, number)


def change(one: Input, seed: int, sound: Path, folder: Path) -> Path:
    """A copy of a sound input with one file changed, in a folder that is written anew.

    The very first input stays sound: each reader must give an answer to one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder, symlinks=True)
    if one.number == 0:
        return folder
    rng = Random(f"{seed}/{one.reader.name}/{one.number}")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if one.reader.chosen:
        files = [file for file in files if file.name in one.reader.chosen]
    texts = [file for file in files if file.suffix not in _PICTURES]
    file = rng.choice(texts if texts and rng.random() < 0.85 else files)
    content = mutated(file.read_bytes(), rng)
    file.unlink()
    file.write_bytes(content)
    return folder


def _try(seeds: Path, seed: int, one: Input) -> None:
    """In a child: make an input and read it."""
    base = seeds / f"work-{os.getpid()}"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    folder = change(one, seed, seeds / one.reader.name, base / "input")
    one.reader.read(folder, Random(f"read/{seed}/{one.number}"))


def _count(tally: Tally, ended: Ended[Input], seed: int, seeds: Path, keep: Path) -> None:
    reader, number = ended.case
    tally.note(reader.name, ended.outcome)
    if number == 0 and ended.outcome != "answered":
        tally.fault(f"{reader.name}: a sound input is refused", ended.text)
    if ended.is_right:
        return
    again = f"--seed {seed} --reader {reader.name} --number {number}"
    name = f"{reader.name}: {ended.kind}"
    if tally.fault(name, f"{ended.text}\n    python -m tests.campaign fuzz {again}"):
        change(ended.case, seed, seeds / reader.name, keep / f"{reader.name}-{number}")
        tqdm.write(f"{ended.outcome}: {name}: {ended.text[:200]}  [{again}]", file=sys.stderr)
