"""The behaviour that all tools share: flags, exit status, and output streams.

Results go to standard output: tables, or one JSON object with ``--json``. Progress and warnings go
to standard error. The exit status is 0 for success, 2 for invalid input, 1 for anything else.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from configs.common import Common
from datasets.errors import InputError
from datasets.names import refused_name, shown, shown_in
from tasks.flag_values import flag_of

# How often an idle thread looks for work before it sleeps. With OpenMP's default, threads occupy a
# core that others need for seconds, so that a training step beside other programs takes ten times
# as long. It is read when torch is imported, which comes after this file.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

Config = TypeVar("Config")
DONE, FAULT, BAD_INPUT = 0, 1, 2
# The program that an installation has; its commands are the tools.
PROGRAM = "mobilenets"
_FOLDER = "tools/"
_call: ContextVar[str] = ContextVar("call", default="")
_USUAL_COLUMNS = 80
_ROOT = Path(__file__).resolve().parent.parent
_PLAIN_WARNING = warnings.formatwarning
_PLAIN_THREAD = threading.excepthook
# Errors of a path or disk that the user has given.
_OF_THE_USER = frozenset(
    {
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
        errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS,
    }
)  # fmt: skip
# Number of letters of a path that a message shows.
_LONGEST = 600


def parse(cls: type[Config], default: Config | None = None) -> Config:
    """Read the command line into a configuration; for a typo the nearest flag is named."""
    config = (tyro.conf.OmitArgPrefixes,)
    given = (
        tyro.cli(cls, config=config)
        if default is None
        else tyro.cli(cls, default=default, config=config)
    )
    _refuse_names(given)
    return given


def _refuse_names(flags: Any) -> None:
    """Check that each path is a possible file name. Raises InputError naming the flag."""
    for one in fields(flags):
        value = getattr(flags, one.name)
        if is_dataclass(value):
            _refuse_names(value)
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and (why := refused_name(path)):
                flag = f"--{flag_of(one.name)} {_short(path)}"
                raise InputError(f"{flag}: no name that a file can have ({why})")


def _short(name: object) -> str:
    text = repr(str(name)) if "\0" in str(name) else str(name)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def run(main: Callable[[], None]) -> None:
    """Run a tool and turn its exceptions into a message and an exit status."""
    _give_bars_a_width()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # A locale may lack letters of the text.
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _as_shown
    threading.excepthook = _in_thread
    try:
        main()
    except BrokenPipeError:  # The reader of a pipe has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except KeyboardInterrupt:
        _stop("interrupted", FAULT)
    except Exception as error:
        status, text = explain(error)
        if not text:
            print(shown(traceback.format_exc()), file=sys.stderr)
        _stop(text or f"internal fault: {type(error).__name__}: {error}", status)


def _in_thread(failed: threading.ExceptHookArgs) -> None:
    """Report what ended a thread, such as the one that writes TensorBoard's curves.

    A disk that is full ends it, and soon the program, too, whose message says what to do.
    """
    if isinstance(failed.exc_value, OSError):
        name = "" if failed.thread is None else f" ({failed.thread.name})"
        say(f"warning: a thread ended{name}: {failed.exc_value}")
    else:
        _PLAIN_THREAD(failed)


def _as_shown(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning's text without control characters: it may contain names of files.

    Warnings of this suite are shown without their position in the code.
    """
    for bar in _open_bars():
        bar.clear()
    file = Path(filename).resolve()
    inside = file.relative_to(_ROOT).parts if _ROOT in file.parents else ("site-packages",)
    if category is UserWarning and "site-packages" not in inside:
        return shown(f"warning: {message}\n")
    return shown(_PLAIN_WARNING(message, category, filename, lineno, line))


def _open_bars() -> list[Any]:
    """Progress bars that are shown; tqdm itself is only imported once its bars have a width."""
    module = sys.modules.get("tqdm")
    return [] if module is None else list(getattr(module.tqdm, "_instances", ()))


def _give_bars_a_width() -> None:
    """Set 80 columns if a terminal does not know its width: tqdm's bars would have none."""
    try:
        columns = os.get_terminal_size(sys.__stderr__.fileno()).columns if sys.__stderr__ else 1
    except (OSError, ValueError):  # Not a terminal, or closed.
        return
    if not columns:
        os.environ.setdefault("TQDM_NCOLS", str(_USUAL_COLUMNS))


def explain(error: Exception) -> tuple[int, str]:
    """Exit status and message of an error; no message if it is a bug in the program."""
    name = type(error).__name__
    if isinstance(error, InputError):
        return BAD_INPUT, str(error)
    if isinstance(error, OSError):
        where = f"{_short(error.filename)}: " if error.filename else ""
        text = f"{where}{error.strerror or error}"
        of_user = error.errno in _OF_THE_USER or isinstance(error, FileNotFoundError)
        return (BAD_INPUT if of_user else FAULT), text
    if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
        first = str(error).partition("\n")[0]
        return BAD_INPUT, (
            f"a loader process has died ({first}); memory may be short: give fewer --workers or a "
            "smaller --batch-size, or more of it (in a container, also docker run --shm-size 8g)"
        )
    if name in ("InterruptedRun", "FloatingPointError"):
        return FAULT, str(error)
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error.name or "")):
        missing = f"{error.name} is not installed, which {called_name()} needs here"
        return BAD_INPUT, f"{missing}: pip install 'mobilenet-suite[{extra}]'"
    return FAULT, ""


def _extra_of(module: str) -> str | None:
    """The extra that installs a module, by the project's metadata: of several the first."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        needed = requires("mobilenet-suite") or []
    except PackageNotFoundError:  # A checkout that is not installed.
        return None
    found = (re.match(r"([\w-]+).*\bextra == ['\"]([\w-]+)", one) for one in reversed(needed))
    extras = {one[1].replace("-", "_"): one[2] for one in found if one}
    return extras.get(module.partition(".")[0])


def _stop(text: str, status: int) -> None:
    for bar in _open_bars():
        bar.close()  # It ends its line, and the message begins one.
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:  # torchrun stops the others; this names the first.
        text = f"process {os.environ.get('RANK', 0)} of {processes} stopped: {text}"
    print(shown(f"{'error: ' if status else ''}{text}"), file=sys.stderr)
    sys.exit(status)


def shown_command() -> str:
    """The command line as typed, beginning with the tool's name; or the call of a program."""
    if call := _call.get():
        return call
    return shlex.join([*called_name().split(" "), *sys.argv[1:]])


def is_command_line(text: str) -> bool:
    """Whether a text of :func:`shown_command` was typed, and is not the call of a program."""
    return text.startswith((_FOLDER, f"{PROGRAM} "))


def called_name() -> str:
    """The name by which the tool that runs was called."""
    return sys.argv[0] if _is_program() else command(Path(sys.argv[0]).stem)


def command(tool: str) -> str:
    """How a tool is called: as a file of the checkout, or as a command of the program.

    The latter if the program was called, and if this package is installed below another one, so
    that no folder ``tools`` is at hand.
    """
    if _is_program() or "." in (__package__ or ""):
        return f"{PROGRAM} {command_name(tool)}"
    return f"{_FOLDER}{tool}.py"


def command_name(tool: str) -> str:
    """The command of the program that a tool is: ``train-det``."""
    return tool.replace("_", "-")


def _is_program() -> bool:
    return re.fullmatch(rf"{PROGRAM} [a-z-]+", sys.argv[0]) is not None


@contextmanager
def called(call: str) -> Iterator[None]:
    """Let reports show the call of a program within the block, whose command line is another."""
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)


def say(text: str) -> None:
    """Print a message that is not the result; only the first process prints it."""
    if int(os.environ.get("RANK", 0)) == 0:
        print(shown(text), file=sys.stderr, flush=True)


def result(common: Common, data: dict[str, Any], text: str) -> None:
    """Print the result, as text or as JSON."""
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps(shown_in(data)) if common.json else shown(text), flush=True)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a result to a file as JSON."""
    from datasets.locks import remove_unfinished
    from tasks.weights.atomic_write import write_text

    remove_unfinished(path.parent, path.name)  # Of processes that were killed.
    write_text(path, json.dumps(shown_in(data), indent=1))


def prepare(common: Common) -> str:
    """Set threads and seed, choose a device, and tidy the place of the output.

    Raises:
        InputError: If the device is not available.
    """
    import cv2
    import torch

    from tasks.fitting.devices import choose_device

    if common.threads:
        torch.set_num_threads(common.threads)
    # OpenCV's own threads would compete with torch's; images are decoded in parallel instead.
    cv2.setNumThreads(0)
    torch.manual_seed(common.seed)
    if common.out is not None:
        tidy(common.out)
    return choose_device(common.device)


def tidy(out: Path) -> None:
    """Remove what processes that were killed left unfinished in place of an output, or in it."""
    from datasets.locks import remove_unfinished

    remove_unfinished(out.parent, out.name)
    remove_unfinished(out)


def prepare_export() -> str:
    """Prepare for an export, as :func:`prepare` does for a network, but without torch.

    Returns:
        The device: exports run on the CPU.
    """
    import cv2

    cv2.setNumThreads(0)
    return "cpu"


def choose_workers(workers: int) -> int:
    """Number of loader processes: as given, or half the cores up to 8."""
    return workers if workers >= 0 else max(1, min(8, (os.cpu_count() or 2) // 2))
