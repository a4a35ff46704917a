"""The skips that CI permits; there any other skip is a failure.

On a person's machine a test may skip for whatever is lacking. In CI, which is told by ``CI=true``,
everything is installed that can be: a skip there would be a test that nobody runs.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

NO_GPU = "no GPU is here"
NO_SAMPLES = "MOBILENETS_DATA is not set: real samples are not here"
# Whole reasons, to the letter. Who adds one says what keeps CI from having it.
PERMITTED = (
    NO_GPU,  # Runners have none.
    NO_SAMPLES,  # They belong to others and are not in the repository; stand-ins are drawn.
)

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def in_ci() -> bool:
    """Whether a skip is judged."""
    return os.environ.get("CI", "").lower() in ("true", "1")


def judge(report: Report) -> Report:
    """Turn a skip that is not permitted into a failure; an expected failure is no skip."""
    if not report.skipped or hasattr(report, "wasxfail") or not in_ci():
        return report
    assert isinstance(report.longrepr, tuple)
    file, line, told = report.longrepr
    reason = told.removeprefix("Skipped: ")
    if reason not in PERMITTED:
        report.outcome = "failed"
        report.longrepr = (
            f"{file}:{line}: skipped in CI: {reason}\n"
            "Install what is lacking, or permit the reason in tests/skips.py."
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the skip of a test, by a mark, a fixture or its own body."""
    return judge((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skip of a module, while it is imported."""
    return judge((yield))
