"""A report as one self-contained HTML file, without scripts or outside requests."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.weights.atomic_write import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2a78d6; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.note { opacity: .75; margin-top: 0 } table { border-collapse: collapse; margin: .5rem 0 }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line) }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.headline { display: flex; gap: 2.5rem; flex-wrap: wrap; margin: 1rem 0 }
.headline b { display: block; font-size: 1.9rem; line-height: 1.2 }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .8rem }
figure { margin: 0 } figure img { width: 100%; height: auto; display: block; border-radius: 4px }
figcaption { font-size: .85rem; opacity: .8; padding: .2rem 0 }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem }
.plots img { background: #fff }
.bar { display: inline-block; height: .6rem; background: var(--accent); border-radius: 2px }
pre { background: var(--soft); padding: .6rem; overflow: auto; font-size: .85rem }
"""


class Page:
    """Collects the parts of a report, below its title and a note, and writes them as one file."""

    def __init__(self, title: str, note: str) -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1><p class=note>{html.escape(note)}</p>"]

    def headline(self, figures: Iterable[tuple[str, str]]) -> None:
        """Large numbers with a word each: (number, word)."""
        cells = (f"<div><b>{html.escape(n)}</b>{html.escape(w)}</div>" for n, w in figures)
        self._parts.append(f"<div class=headline>{''.join(cells)}</div>")

    def section(self, title: str, note: str = "") -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(title)}</h2>")
        if note:
            self._parts.append(f"<p class=note>{html.escape(note)}</p>")

    def table(
        self, head: Sequence[str], rows: Iterable[Sequence[str | float]], bar: int | None = None
    ) -> None:
        """A table; floats have three digits; ``bar`` is a column of 0..1 to draw bars for."""
        body = []
        for row in rows:
            cells = [_cell(value) for value in row]
            if bar is not None:
                share = min(max(float(row[bar]), 0), 1)
                cells.append(f"<td><span class=bar style='width:{share * 12:.2f}rem'></span></td>")
            body.append(f"<tr>{''.join(cells)}</tr>")
        titles = "".join(f"<th>{html.escape(title)}</th>" for title in head)
        self._parts.append(f"<table><tr>{titles}</tr>{''.join(body)}</table>")

    def text(self, text: str) -> None:
        """Preformatted text."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def plots(self, figures: Iterable[tuple[Figure, str]]) -> None:
        """Plots side by side: (figure, what it shows)."""
        parts = []
        for figure, caption in figures:
            file = io.BytesIO()
            figure.savefig(file, format="svg", bbox_inches="tight")
            parts.append(_figure("image/svg+xml", file.getvalue(), caption))
        self._parts.append(f"<div class=plots>{''.join(parts)}</div>")

    def pictures(self, pictures: Iterable[tuple[NDArray[np.uint8], str]]) -> None:
        """Images in a grid: ((H, W, 3) RGB, caption)."""
        parts = []
        for picture, caption in pictures:
            _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
            parts.append(_figure("image/jpeg", data.tobytes(), caption))
        self._parts.append(f"<div class=grid>{''.join(parts)}</div>")

    def write(self, path: Path) -> None:
        """Write the file. Raises OSError if it cannot be written."""
        head = f"<meta charset=utf-8><title>{html.escape(self.title)}</title>"
        head += "<meta name=viewport content='width=device-width'>"
        body = "\n".join(self._parts)
        write_text(
            path, f"<!doctype html><html lang=en>{head}<style>{_STYLE}</style>\n{body}\n</html>\n"
        )


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f"<td>{html.escape(value)}</td>"
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    return f"<td class=number>{shown}</td>"


def _figure(kind: str, data: bytes, caption: str) -> str:
    url, label = f"data:{kind};base64,{base64.b64encode(data).decode()}", html.escape(caption)
    return f'<figure><img src="{url}" alt="{label}"><figcaption>{label}</figcaption></figure>'
