"""Seeded changes of files: of their bytes, and of what lies in JSON, archives and weights."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

# What stands in files where something else belongs.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 255, 65_536, 2**31 - 1, 2**31, 2**32, 2**63, -(2**63)),
    *(10**12, 10**400, 0.5, -0.5, 1e-320, 1e308, 1e30, float("inf"), float("nan"), 96.5),
    *("", "0", "1", "x", "1481 px", "a\0b", "\ud800", "x" * 300, "../../x", "/", "\\", "1e999"),
    *("\x1b[2J", "²", "٣", "nan", [], {}, [[]], [0], [None], ["a", 0], {"a": 1}, [1] * 50),
)
PIECES: tuple[bytes, ...] = (
    *(b"", b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"{", b"}", b"[", b"]", b'"', b"<", b">", b"&a;", b",", b"\t"),
    *(b"<!DOCTYPE a>", b"inf", b"nan", b"-", b"1e999", b"9" * 5000, b"*a", b"&a [*a]", b"!!set"),
    *(b"\r", b"\n", b"\n\n", b"%", b"[" * 3000, b"<a>" * 3000, b"\xe2\x80\xa8", b"\xd9\xa3"),
    *(b"\xc2\xb2", b"? [a]", b'"\\UFFFFFFFF"', b"../", b"\x1b[2J", b"{0..999999999}", b" ", b"#"),
)
_WHOLE = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_NUMBERS = (b"0", b"-1", b"1", b"2", b"99", b"65536", b"2147483648", b"999999999999", b"1e30")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_TAR_BLOCK = 512


def mutated(data: bytes, rng: Random, depth: int = 0) -> bytes:
    """The content of a file with one to three changes; archives are changed within, too."""
    inside = _inside(data)
    if inside is not None and depth < 3 and rng.random() < 0.7:
        with contextlib.suppress(Exception):  # What was changed before may be no archive now.
            return inside(data, rng, depth)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_CHANGES)(data, rng)
    return data


Inside = Callable[[bytes, Random, int], bytes]


def _inside(data: bytes) -> Inside | None:
    """How to change what lies within a file of a known kind; None for others."""
    if data[:4] == b"PK\x03\x04":
        return _in_zip
    if data[257:262] == b"ustar":
        return _in_tar
    if len(data) > 9 and data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < len(data):
        return _in_safetensors
    if data.lstrip()[:1] in (b"{", b"["):
        return _in_json
    return None


def _in_zip(data: bytes, rng: Random, depth: int) -> bytes:
    """Change a member, and write check sums that are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    chosen = _small_first(members, rng)
    content, name = members.pop(chosen), chosen
    kind = rng.random()
    if kind < 0.1:
        name = rng.choice(("../x", "/x", "", "x" * 300, f"{chosen}2"))
    elif kind < 0.95:
        content = mutated(content, rng, depth + 1)
    if kind < 0.95:
        members[name] = content
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, inner in members.items():
            archive.writestr(member or "_", inner)
    return out.getvalue()


def _in_tar(data: bytes, rng: Random, depth: int) -> bytes:
    """Change a member, its name or its header, whose check sum is then right."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        rows = [(info, archive.extractfile(info)) for info in archive.getmembers()]
        members = [(info, file.read() if file else b"") for info, file in rows]
    k = rng.randrange(len(members))
    info, content = members[k]
    kind = rng.random()
    if kind < 0.15:
        info.name = rng.choice(("../x.jpg", "/x.jpg", "x" * 90, "a/b.cls", "._a.jpg", "a\n.cls"))
    elif kind < 0.3:
        info.type = rng.choice((b"0", b"1", b"2", b"3", b"5", b"6", b"g", b"x", b"L", b"S"))
    else:
        content = mutated(content, rng, depth + 1)
        info.size = len(content)
    members[k] = (info, content)
    if rng.random() < 0.1:
        members.append(members[rng.randrange(len(members))])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for one, inner in members:
            archive.addfile(one, io.BytesIO(inner))
    return out.getvalue()


def _in_safetensors(data: bytes, rng: Random, _depth: int) -> bytes:
    """Change the header: tensors, or the card in it."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    notes = header.get("__metadata__", {})
    texts = [name for name, text in notes.items() if text[:1] in "{["]
    if texts and rng.random() < 0.8:
        name = rng.choice(texts)
        notes[name] = _other_value(json.loads(notes[name]), rng)
        # Whoever writes a card so can write its digest, too.
        card = json.loads(notes[name])
        if isinstance(card, dict) and rng.random() < 0.8:
            card.pop("digest", None)
            notes[name] = json.dumps(card)
        text = json.dumps(header)
    else:
        text = _other_value(header, rng)
    head = text.encode("utf-8", "surrogatepass")
    return len(head).to_bytes(8, "little") + head + data[8 + size :]


def _in_json(data: bytes, rng: Random, _depth: int) -> bytes:
    """Change a value, or of lines of JSON one of one line."""
    try:
        return _other_value(json.loads(data), rng).encode("utf-8", "surrogatepass")
    except ValueError:
        lines = data.splitlines()
        k = rng.randrange(len(lines))
        lines[k] = _other_value(json.loads(lines[k]), rng).encode("utf-8", "surrogatepass")
        return b"\n".join(lines)


def _other_value(content: Any, rng: Random) -> str:
    """A JSON text in which one or two values are something else, not there, or named otherwise."""
    for _ in range(rng.choice((1, 1, 2))):
        ways = list(_places(content))
        if not ways:
            break
        *way, last = rng.choice(ways)
        inner = content
        for key in way:
            inner = inner[key]
        kind = rng.random()
        if kind < 0.15:
            del inner[last]
        elif kind < 0.25 and isinstance(inner, dict):
            inner[rng.choice(("", "x", "../x", "\0", "0", "x" * 300))] = inner.pop(last)
        elif kind < 0.35:
            inner[last] = [inner[last]] if rng.random() < 0.5 else {"x": inner[last]}
        else:
            inner[last] = rng.choice(VALUES)
    return json.dumps(content)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    rows = value.items() if isinstance(value, dict) else enumerate(value)
    if not isinstance(value, dict | list):
        return
    for key, inner in rows:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, key))


def _small_first(members: dict[str, bytes], rng: Random) -> str:
    """One of the members; those that describe the others are few and short."""
    small = [name for name, content in members.items() if len(content) < 50_000]
    texts = [name for name in small if members[name][:1] in (b"{", b"\x80")]
    return rng.choice(texts if texts and rng.random() < 0.5 else small or list(members))


# Changes of bytes.


def _at(data: bytes, rng: Random) -> int:
    """A place: half of the time near the beginning or the end, where headers stand."""
    kind = rng.random()
    if kind < 0.3:
        return rng.randint(0, min(len(data), 256))
    if kind < 0.5:
        return rng.randint(max(0, len(data) - 256), len(data))
    return rng.randint(0, len(data))


def _flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 4, 16))):
        place = min(_at(data, rng), len(changed) - 1)
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _piece(data: bytes, rng: Random) -> bytes:
    start = _at(data, rng)
    end = start + rng.choice((0, 0, 1, 2, 5, 20, 10_000))
    return data[:start] + rng.choice(PIECES) + data[end:]


def _cut(data: bytes, rng: Random) -> bytes:
    return data[: _at(data, rng)]


def _drop(data: bytes, rng: Random) -> bytes:
    start = _at(data, rng)
    return data[:start] + data[start + rng.choice((1, 2, 4, 8, 64, 512)) :]


def _copy(data: bytes, rng: Random) -> bytes:
    start, end = sorted((rng.randint(0, len(data)), _at(data, rng)))
    end = min(end, start + 4096)
    return data[:end] + data[start:end] * rng.choice((1, 1, 3, 20)) + data[end:]


def _whole(data: bytes, rng: Random) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    start = _at(data, rng)
    if rng.random() < 0.7:
        start -= start % size
    value: int = rng.choice(_WHOLE) % (1 << 8 * size)
    raw = value.to_bytes(size, "big" if rng.random() < 0.3 else "little")
    return data[:start] + raw + data[start + size :]


def _number(data: bytes, rng: Random) -> bytes:
    found = list(_NUMBER.finditer(data[:20_000]))
    if not found:
        return _flip(data, rng)
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(_NUMBERS) + data[one.end() :]


def _lines(data: bytes, rng: Random) -> bytes:
    lines = data.split(b"\n")
    if not 1 < len(lines) < 10_000:
        return _copy(data, rng)
    k, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    if rng.random() < 0.5:
        lines[k], lines[other] = lines[other], lines[k]
    else:
        lines.insert(k, lines[other])
    return b"\n".join(lines)


_CHANGES = (_flip, _piece, _cut, _drop, _copy, _whole, _whole, _number, _number, _lines)
