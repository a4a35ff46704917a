#!/usr/bin/env python
"""Download weights from the Hugging Face Hub: ``tools/download.py OWNER/NAME``."""

from __future__ import annotations

from configs.hub import Download
from tasks.weights.names import WEIGHTS_NAME
from tools import cli


def main() -> None:
    """Download, check the card, and write a weights file."""
    args = cli.parse(Download)
    from backbone.formats.hub import fetch_hub
    from tasks.weights.file import save_weights
    from tasks.weights.head_files import load_weights

    out = args.target()
    state, card = load_weights(fetch_hub(args.name, (WEIGHTS_NAME,)) / WEIGHTS_NAME)
    save_weights(out, state, card)
    text = f"{card.task}, {len(card.classes)} classes, {card.source}\nwritten to {out}"
    cli.result(args.common, {"weights": out, **card.to_json()}, text)


if __name__ == "__main__":
    cli.run(main)
