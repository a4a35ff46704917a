"""Photos with GPS tags, and lists of places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PilImage
from PIL.TiffImagePlugin import IFDRational

_GPS, _ARTIST = 0x8825, 0x013B


def photo(file: Path, gps: dict[int, object] | None = None, artist: str = "") -> Path:
    """A JPEG with tags."""
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = PilImage.Exif()
    if gps:
        exif[_GPS] = gps
    if artist:
        exif[_ARTIST] = artist
    PilImage.new("RGB", (8, 8), (90, 120, 60)).save(file, exif=exif)
    return file


def gps(lat: float, lng: float) -> dict[int, object]:
    """As cameras write it: degrees, minutes, seconds as fractions, and the hemisphere."""

    def parts(angle: float) -> tuple[IFDRational, ...]:
        whole, rest = divmod(abs(angle) * 60, 1)
        seconds = IFDRational(round(rest * 60 * 1000), 1000)
        return (IFDRational(int(whole) // 60), IFDRational(int(whole) % 60), seconds)

    north, east = "N" if lat >= 0 else "S", "E" if lng >= 0 else "W"
    return {1: north, 2: parts(lat), 3: east, 4: parts(lng)}


def write_list(root: Path, rows: Sequence[str], name: str = "list.csv") -> Path:
    """A list, and a photo for each name in it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(("IMG_ID,AUTHOR,LAT,LON", *rows, "")))
    for row in rows:
        file = root / row.split(",")[0]
        if not file.exists() and "gone" not in file.name:
            file.write_bytes(photo(file).read_bytes() + file.name.encode())  # No two are alike.
    return root / name
