"""Foreign classifiers and bodies, brought in and compared with the original."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from backbone.formats.network import Network
from backbone.formats.recognise import read_network
from configs.tools import ImportWeights
from tasks.classification.import_weights import import_network
from tools.flows.importing import Foreign, Importer, scenes_for


def _read(args: ImportWeights, source: Path) -> Foreign:
    from tasks.classification.reference_runtimes import compare

    network = read_network(source, head=args.head, key_map=args.key_map)
    imported = import_network(network, args.flavour, args.labels)
    card = imported.card
    compared = compare(source, network, imported, scenes_for(card), args.head)
    facts = {
        "compared": None if isinstance(compared, str) else compared.to_json(),
        "left_out": list(network.left_out),
    }
    about = "\n".join(filter(None, (imported.about(), _left_out(network), str(compared))))
    return Foreign(imported.state(), card, about, facts)


def _left_out(network: Network) -> str:
    """Parts of the network that stay behind, with how many tensors each has; --json has all."""
    count = len(network.left_out)
    parts = Counter(name.replace("/", ".").split(".")[0] for name in network.left_out)
    listed = ", ".join(f"{part} ({number})" for part, number in parts.items())
    return f"left out: {count} tensors that no body or classifier has: {listed}" if count else ""


CLASSIFIER_IMPORTER = Importer(_read)
