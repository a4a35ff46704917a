#!/usr/bin/env python
"""Turn a model into a file for other runtimes: ``tools/export.py RUN_OR_WEIGHTS``."""

from __future__ import annotations

from configs.deploy import Export
from tools import cli


def main() -> None:
    """Write an export, check it against the model, and say what it is."""
    args = cli.parse(Export)
    from tools import recipes
    from tools.flows.any_export import export

    cli.result(args.common, *export(args, recipes.RECIPES))


if __name__ == "__main__":
    cli.run(main)
