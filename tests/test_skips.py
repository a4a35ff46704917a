"""Skips are failures in CI, but for the permitted ones; elsewhere they stay skips."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import NO_GPU, NO_SAMPLES, PERMITTED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
HOOKS = "from tests.skips import pytest_make_collect_report, pytest_runtest_makereport\n"
TESTS = f"""
import pytest

@pytest.fixture
def browser():
    pytest.skip("no browser")

@pytest.fixture
def samples():
    pytest.skip({NO_SAMPLES!r})

def test_fixture(browser): ...
def test_permitted_fixture(samples): ...
def test_body(): pytest.importorskip("a_module_of_nobody")
def test_permitted_body(): pytest.skip({NO_GPU!r})
def test_nearly_permitted(): pytest.skip({NO_GPU!r} + " but one")
@pytest.mark.skip(reason="no time")
def test_mark(): ...
@pytest.mark.skipif(True, reason="no disk")
def test_condition(): ...
@pytest.mark.skipif(True, reason={NO_GPU!r})
def test_permitted_mark(): ...
@pytest.mark.parametrize("one", [])
def test_of_nothing(one): ...
@pytest.mark.xfail(reason="known")
def test_expected(): assert False
def test_passes(): ...
"""
MODULES = {
    "test_some.py": TESTS,
    "test_module.py": 'import pytest\npytest.skip("whole", allow_module_level=True)\n',
    "test_import.py": 'import pytest\npytest.importorskip("a_module_of_nobody")\n',
    "test_permitted_module.py": f"import pytest\npytest.skip({NO_SAMPLES!r}, "
    "allow_module_level=True)\n",
}
FAILING = {"test_fixture", "test_body", "test_nearly_permitted", "test_mark", "test_condition"}


def run(folder: Path, ci: str | None, *flags: str) -> subprocess.CompletedProcess[str]:
    """Pytest on the modules above, which know of nothing but the policy."""
    for name, text in {"conftest.py": HOOKS, "pytest.ini": "[pytest]\n", **MODULES}.items():
        (folder / name).write_text(text)
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_ADDOPTS")}
    environment |= {"PYTHONPATH": str(ROOT)} | ({} if ci is None else {"CI": ci})
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rfEs", "--tb=short", *flags, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=600,
    )


@pytest.mark.parametrize("flags", [(), ("-n", "2", "--dist", "loadfile")], ids=["alone", "xdist"])
def test_in_ci_only_permitted_skips_stay(tmp_path: Path, flags: tuple[str, ...]) -> None:
    done = run(tmp_path, "true", "--continue-on-collection-errors", *flags)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = set(re.findall(r"^FAILED test_some\.py::(\w+)", done.stdout, re.MULTILINE))
    errors = set(re.findall(r"^ERROR (test_\S+)", done.stdout, re.MULTILINE))
    # Skipped while it is set up, a test ends as an error.
    by_setup = {name.partition("::")[2].partition("[")[0] for name in errors if "::" in name}
    assert failed | by_setup == {*FAILING, "test_of_nothing"}
    assert {name for name in errors if "::" not in name} == {"test_module.py", "test_import.py"}
    assert "skipped in CI: no browser" in done.stdout
    assert "permit the reason in tests/skips.py" in done.stdout
    kept = re.findall(r"^SKIPPED \[(\d+)\] .*?: (.*)$", done.stdout, re.MULTILINE)
    assert {reason for _, reason in kept} == set(PERMITTED)
    assert sum(int(count) for count, _ in kept) == 4
    assert "1 passed" in done.stdout
    assert "1 xfailed" in done.stdout


def test_a_skipped_module_fails_ci_by_itself(tmp_path: Path) -> None:
    done = run(tmp_path, "1", "--ignore", str(tmp_path / "test_some.py"))
    assert done.returncode != 0
    assert "skipped in CI: whole" in done.stdout
    assert "skipped in CI: could not import 'a_module_of_nobody'" in done.stdout


@pytest.mark.parametrize("ci", [None, "", "false"])
def test_elsewhere_a_skip_stays_a_skip(tmp_path: Path, ci: str | None) -> None:
    done = run(tmp_path, ci)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 12 skipped, 1 xfailed" in done.stdout
