"""Which chips need wider 8-bit weights."""

import pytest

from tasks.runtime.chip import has_vnni

FLAGS = "processor\t: 0\nflags\t\t: fpu avx2 avx512f {}\nflags\t\t: fpu\n"


@pytest.mark.parametrize(
    ("machine", "info", "has"),
    [
        ("x86_64", FLAGS.format("avx512_vnni"), True),
        ("AMD64", FLAGS.format("avx_vnni sse"), True),
        ("x86_64", FLAGS.format("avx512_vbmi"), False),
        ("x86_64", "", False),
        ("aarch64", "", True),
        ("arm64", "Features\t: asimddp\n", True),
    ],
)
def test_vnni_is_told_by_the_chip(machine: str, info: str, has: bool) -> None:
    assert has_vnni(machine, info) == has
