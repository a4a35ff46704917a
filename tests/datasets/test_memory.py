"""Caches take a share of the memory that is free, within the limits of a container."""

from pathlib import Path

import pytest

from datasets import memory
from datasets.memory import CACHE_SHARE, cache_bytes, free_memory

MACHINE = 8_000_000 * 1024


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with eight million kilobytes available, and no control groups."""
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return tmp_path


def limit(folder: Path, most: str, used: int, names: tuple[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (most, str(used)), strict=True):
        (folder / name).write_text(f"{value}\n")


V2, V1 = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


@pytest.mark.usefixtures("system")
def test_a_machine_alone() -> None:
    assert free_memory() == MACHINE
    assert cache_bytes() == int(CACHE_SHARE * MACHINE)


def test_the_tightest_group_counts(system: Path) -> None:
    (system / "own").write_text("0::/box/inner\n")
    limit(system / "groups/box", "3000000", 1_000_000, V2)
    limit(system / "groups/box/inner", "max", 500_000, V2)
    assert free_memory() == 2_000_000
    limit(system / "groups/box", "3000000", 4_000_000, V2)
    assert free_memory() == 0


def test_groups_of_version_1(system: Path) -> None:
    (system / "own").write_text("5:cpu,cpuacct:/a\n4:memory:/a\n")
    limit(system / "groups/memory/a", "9000000", 2_000_000, V1)
    assert free_memory() == 7_000_000


def test_files_that_were_read_are_free(system: Path) -> None:
    (system / "own").write_text("0::/box\n4:memory:/a\n")
    limit(system / "groups/box", "3000000", 1_000_000, V2)
    (system / "groups/box/memory.stat").write_text("anon 5\ninactive_file 600000\n")
    limit(system / "groups/memory/a", "9000000", 8_000_000, V1)
    (system / "groups/memory/a/memory.stat").write_text(
        "inactive_file 7\ntotal_inactive_file 900000\n"
    )
    assert free_memory() == 1_900_000
    (system / "groups/memory/a/memory.stat").write_text("total_inactive_file\n")
    assert free_memory() == 1_000_000


@pytest.mark.usefixtures("system")
def test_processes_share(monkeypatch: pytest.MonkeyPatch) -> None:
    for processes, parts in (("4", 4), ("0", 1), ("many", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert cache_bytes() == int(CACHE_SHARE * MACHINE) // parts


@pytest.mark.parametrize("text", ["", "nonsense", "0::", "MemAvailable:"])
def test_what_cannot_be_read_limits_nothing(system: Path, text: str) -> None:
    (system / "own").write_text(text)
    assert free_memory() == MACHINE
    (system / "meminfo").write_text(text)
    assert free_memory() > 0
