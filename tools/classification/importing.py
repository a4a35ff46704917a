"""Foreign classifiers and bodies, brought in and compared with the original."""

from __future__ import annotations

from pathlib import Path

from backbone.formats.recognise import read_network
from configs.tools import ImportWeights
from tasks.classification.import_weights import import_network
from tools.flows.importing import Foreign, Importer, scenes_for


def _read(args: ImportWeights, source: Path) -> Foreign:
    from tasks.classification.reference_runtimes import compare, why_not_compared

    network = read_network(source, head=args.head, key_map=args.key_map)
    imported = import_network(network, args.flavour, args.labels)
    card = imported.card
    compared = compare(source, network, imported, scenes_for(card), args.head)
    said = str(compared or why_not_compared(source, network))
    about = f"{imported.about()}\n{said}"
    return Foreign(imported.state(), card, about, {"compared": compared and compared._asdict()})


CLASSIFIER_IMPORTER = Importer(_read)
