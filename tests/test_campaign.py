"""The campaign's own parts: what it does by hand and at night has to be done right."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from datasets.errors import InputError
from tests.campaign import children
from tests.campaign.children import work_on
from tests.campaign.mutations import mutated
from tests.campaign.tool_runs import contents, litter
from tests.datasets.tar_fakes import write_tar


def _work(case: str) -> None:
    if case == "refused":
        raise InputError("x: is no such thing")
    if case == "fault":
        raise KeyError("x")
    if case == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if case == "memory":
        bytearray(2 * children.BYTES)
    while case == "hang":
        pass


@pytest.mark.slow
def test_every_end_of_a_child_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SECONDS", 0.05)
    cases = ["answered", "crash", "refused", "fault", "hang", "answered", "memory", "refused"]
    found = list(work_on(cases, _work, jobs=1))
    assert [one.case for one in found] == cases
    assert [one.outcome for one in found] == cases
    assert found[3].kind.startswith("KeyError at tests/test_campaign.py:")


def test_changes_are_the_same_for_a_seed(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"0.jpg": b"x" * 50, "0.cls": b"3"})
    contents = [b'{"a": [1, {"b": "c"}]}', b"1,2\n3,4\n", (tmp_path / "a.tar").read_bytes(), b""]
    for content in contents:
        every = [[mutated(content, Random(seed)) for seed in range(40)] for _ in range(2)]
        assert every[0] == every[1]
        assert len(set(every[0])) > 15 or not content


def test_what_differs_by_time_alone_is_equal(tmp_path: Path) -> None:
    for name, minutes in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(f'{{"minutes": {minutes}, "top1": 3}}')
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    (tmp_path / "b/report.json").write_text('{"minutes": 1, "top1": 4}')
    (tmp_path / "b/.x.1.tmp").write_text("")
    assert contents(tmp_path / "a") != contents(tmp_path / "b")
    assert litter(tmp_path) == ["b/.x.1.tmp"]


@pytest.mark.slow
def test_a_disk_is_full_from_a_write_on(tmp_path: Path) -> None:
    """Whoever writes: Python's descriptors, its files, libc's streams."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ is here")
    source, library = Path(children.__file__).with_name("full_disk.cpp"), tmp_path / "full.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    script = (
        "import ctypes, os, sys; from pathlib import Path\n"
        "library, folder = ctypes.CDLL(sys.argv[1]), Path(sys.argv[2])\n"
        "library.disk_is_full_at(ctypes.c_long(3), os.fsencode(folder))\n"
        "(folder / 'a').write_text('x'); (folder / 'b').write_text('x')\n"
        "for _ in range(2):\n"
        "    try: (folder / 'c').write_text('x')\n"
        "    except OSError as error: print(error.errno)\n"
        "print(library.writes_counted())\n"
    )
    command = [sys.executable, "-c", script, library, tmp_path]
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    *errors, counted = map(int, done.stdout.split())
    assert errors == [errno.ENOSPC] * 2, done.stderr
    assert counted >= 4  # Python may try to write once more when it closes a file.
