"""Run folders of all training tools, and resuming."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

from configs.common import Common
from configs.io import from_json, to_json
from datasets.errors import InputError
from datasets.json_files import read_json
from datasets.locks import holding, remove_unfinished
from datasets.spec import Split
from tasks.distillation.spec import HEADER_NAME, DistillSpec, is_python
from tasks.weights.names import WEIGHTS_NAME

Config = TypeVar("Config")
CONFIG_NAME = "config.json"
_LOCK_NAME = ".lock"
# Flags that may be given again to a resumed run: how it computes, and how this process prints.
_COMPUTING = ("threads", "device")
_CHANGEABLE = ("--resume", "--workers", "--json", *(f"--{name}" for name in _COMPUTING))


def resumed(config: Config, folder: Path, given: Sequence[str] | None = None) -> Config:
    """The configuration of the run in a folder, with the flags that may be given again.

    What is not given stays as it was: another number of threads adds in another order, and another
    device rounds differently, so the run would not end bit for bit the same.

    Args:
        config: Configuration from the command line.
        folder: Folder of the run.
        given: Flags that were given; by default those of the command line.

    Raises:
        InputError: If it is not a run folder, or another flag was given.
    """
    saved = read_config(type(config), folder)
    if given is None:
        given = [a.split("=")[0] for a in sys.argv[1:] if a.startswith("--")]
    named = named_again(config, saved, f"--resume {folder}: its {CONFIG_NAME}", folder, given)
    changed = [flag for flag in given if flag not in (*_CHANGEABLE, *named)]
    if changed:
        raise InputError(
            f"{changed[0]} cannot be changed on resume: the run goes on as it was configured"
        )
    new: Any = config
    old: Any = saved
    anew = {name: getattr(new.common, name) for name in _COMPUTING if f"--{name}" in given}
    common = replace(old.common, **anew, out=folder, json=new.common.json)
    workers = new.workers if "--workers" in given else old.workers
    return replace(old, resume=folder, workers=workers, common=common)  # type: ignore[no-any-return]


def read_config(cls: type[Config], folder: Path) -> Config:
    """The configuration in a run folder. Raises InputError if there is no usable one."""
    file = folder / CONFIG_NAME
    if not file.exists():
        raise InputError(f"--resume {folder}: no {CONFIG_NAME} there; is it a run folder?")
    try:
        return from_json(cls, read_json(file))
    except InputError as error:
        said = str(error)
        raise InputError(said if str(file) in said else f"{file}: {said}") from error


def named_again(
    new: Any, old: Any, what: str, folder: Path | None, given: Sequence[str]
) -> tuple[str, ...]:
    """Flags that a resume may repeat, and must if the run would reach outside its folder.

    A run folder, or a file of settings, may come from anywhere. Python that it names would be run,
    and where it names a new folder of teacher targets, files would be written; so both are done
    only if this command line states the same.

    Raises:
        InputError: If one is not repeated, or differs.
    """
    spec = getattr(old, "distill", None)
    if not isinstance(spec, DistillSpec):
        return ()
    named = []
    store = spec.targets
    inside = store is None or (
        folder is not None and store.resolve().is_relative_to(folder.resolve())
    )
    for name, why, asked in (
        ("teacher", "names Python code, which is run", is_python(spec.teacher)),
        ("targets", "names a folder to write to", not inside and not _has_targets(store)),
    ):
        flag, value = f"--{name}", getattr(spec, name)
        if flag in given and str(getattr(new.distill, name)) == str(value):
            named.append(flag)
        elif asked and flag not in given:
            raise InputError(
                f"{what} {why}; if you know it, name it again: {flag} {quote(str(value))}"
            )
    return tuple(named)


def _has_targets(store: Path | None) -> bool:
    return store is not None and (store / HEADER_NAME).exists()


def save_config(config: Any, folder: Path) -> None:
    """Write the configuration that :func:`resumed` reads. Raises OSError if that fails."""
    from tasks.weights.atomic_write import write_text

    folder.mkdir(parents=True, exist_ok=True)
    saved = replace(config, resume=None, common=replace(config.common, out=folder))
    write_text(folder / CONFIG_NAME, json.dumps(to_json(saved), indent=1))


def new_run_folder(common: Common, preset: str) -> Path:
    """``--out``, or ``runs/<preset>/<time>``. Raises InputError if ``--out`` holds a run."""
    if common.out is None and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise InputError(
            "--out is needed with several processes, each of which would name a new folder by its "
            "own clock: add --out FOLDER, or go on with a run by --resume FOLDER"
        )
    if common.out is not None:
        require_folder(common.out)
    if common.out is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder = Path("runs") / preset / stamp
        while folder.exists():
            folder = folder.with_name(f"{folder.name}+")
        return folder
    if is_first() and (common.out / CONFIG_NAME).exists():
        raise InputError(
            f"--out {common.out}: holds a run already; choose another folder, or go on with it "
            f"by --resume {common.out}"
        )
    return common.out


@contextmanager
def sole_process(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run folder, and remove what killed ones left there.

    Among several processes of one run the first holds the lock. Raises InputError if the folder is
    in use, naming the process that uses it; or if there cannot be such a folder.
    """
    if not is_first():
        yield
        return
    require_folder(folder)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        with holding(folder / _LOCK_NAME, str(folder)):
            remove_unfinished(folder, below=True)
            yield
    finally:
        with suppress(OSError):  # Of a run that was refused, nothing stays.
            for one in made:
                one.rmdir()


def make_folder(folder: Path) -> None:
    """Make an output folder, and remove what killed processes left in it.

    Raises:
        InputError: If it cannot be a folder.
    """
    require_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)


def require_folder(folder: Path) -> None:
    """Check that output can go to a folder, existing or not. Raises InputError if it cannot."""
    if "\0" in str(folder):
        raise InputError(f"--out {str(folder)!r}: no name can hold a zero byte")
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not there.is_dir():
        raise InputError(f"--out {folder}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK):
        raise InputError(f"--out {folder}: {there} cannot be written to; name another folder")


def is_first() -> bool:
    """Whether this is the process that writes files."""
    return int(os.environ.get("RANK", 0)) == 0


def evaluation_folder(common: Common, weights: Path, data: Path, split: Split | None) -> Path:
    """``--out``, or ``evaluations/<weights>-<data>``, with ``-<split>`` if one was requested.

    Raises:
        InputError: If it holds a run.
    """
    of = weights.parent if weights.name == WEIGHTS_NAME else weights
    name = "-".join((of.name, data.name, *([split] if split else ())))
    folder = common.out or Path("evaluations") / name
    if (folder / CONFIG_NAME).exists():
        raise InputError(f"--out {folder}: holds a run, whose own report would be lost")
    require_folder(folder)
    if folder.is_dir():
        remove_unfinished(folder)
    return folder
