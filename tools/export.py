#!/usr/bin/env python
"""Turn a model into a file for other runtimes: ``tools/export.py RUN_OR_WEIGHTS``."""

from __future__ import annotations

from configs.deploy import Export
from tools import cli


def main() -> None:
    """Write an export, check it against the model, and say what it is."""
    args = cli.parse(Export)
    if args.bare:
        from tools.flows.bare import export_bare

        cli.result(args.common, *export_bare(args))
        return
    if not args.int8:
        from tools.flows.exporting import export_model

        cli.result(args.common, *export_model(args))
        return
    from tools.flows.exporting import write_float
    from tools.flows.quantising import calibration_files, write_int8
    from tools.flows.source import open_source
    from tools.recipes import RECIPES

    # The float export is checked already; write_int8 writes args.out_file() and nothing else.
    source = open_source(args)
    calibration_files(args)  # What is wrong there is found before minutes have passed.
    with write_float(args, source) as float_file:
        cli.result(args.common, *write_int8(args, source, float_file, RECIPES))


if __name__ == "__main__":
    cli.run(main)
