#!/usr/bin/env python
"""Upload weights to the Hugging Face Hub: ``tools/upload.py RUN_OR_WEIGHTS OWNER/NAME``."""

from __future__ import annotations

from configs.hub import Upload
from datasets.errors import InputError
from tasks.weights.names import WEIGHTS_NAME
from tools import cli

CARD_NAME = "README.md"


def main() -> None:
    """Write weights and model card to a folder, and upload the two."""
    args = cli.parse(Upload)
    from backbone.formats.hub import send_hub
    from tasks.weights.atomic_write import write_text
    from tasks.weights.file import save_weights
    from tasks.weights.head_files import load_weights
    from tools.flows.model_card import model_card, public_card

    state, card = load_weights(args.weights)
    card = public_card(card, args.origin)
    folder, files = args.folder(), (WEIGHTS_NAME, CARD_NAME)
    others = [f.name for f in folder.iterdir() if f.name not in files] if folder.is_dir() else []
    if others:
        raise InputError(f"--out {folder}: holds other files ({others[0]}); choose another folder")
    save_weights(folder / WEIGHTS_NAME, state, card)
    write_text(folder / CARD_NAME, model_card(card, args.weights, args.name, args.licence))
    sizes = {file: (folder / file).stat().st_size for file in files}
    page = None if args.dry_run else send_hub(folder, files, args.name, public=args.public)
    lines = [f"  {folder / file}, {size:,} bytes" for file, size in sizes.items()]
    said = f"sent to {page}" if page else f"nothing was sent; for {args.name} there would be"
    data = {"folder": folder, "files": sizes, "page": page, **card.to_json()}
    cli.result(args.common, data, "\n".join([f"{said}:", *lines, f"origin: {card.source}"]))


if __name__ == "__main__":
    cli.run(main)
