#!/usr/bin/env python
"""Import weights from another framework: ``tools/import_weights.py mobilenet.tflite``."""

from __future__ import annotations

import json

from configs.tools import ImportWeights
from tools import cli


def main() -> None:
    """Read, check, compare with the original runtime, and write a weights file."""
    args = cli.parse(ImportWeights)
    from backbone.formats import hub
    from tasks.weights.file import save_weights
    from tools.flows.importing import importer_for
    from tools.recipes import RECIPES

    cli.prepare(args.common)
    source, out = (hub.fetch_hub(str(args.source)) if args.hub else args.source), args.target()
    if args.list_keys:
        from backbone.formats.recognise import draft_keys

        draft = draft_keys(source)
        cli.result(args.common, draft, json.dumps(draft, indent=1))
        return
    importers = [recipe.importer for recipe in RECIPES if recipe.importer is not None]
    found = importer_for(source, importers).read(args, source)
    tensors, card = found.tensors, found.card
    save_weights(out, tensors, card)
    facts = {**found.facts, "weights": out, "tensors": len(tensors), **card.to_json()}
    width = f"alpha {card.model['alpha']:g}"
    about = f"{len(tensors)} tensors, {width}, {found.about}\nwritten to {out}"
    cli.result(args.common, facts, about)


if __name__ == "__main__":
    cli.run(main)
