"""An export of whatever kind a configuration asks for: float, 8 bits, or the network alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from configs.deploy import Export
from tools.flows.recipe import Recipe


def export(args: Export, recipes: Sequence[Recipe[Any]]) -> tuple[dict[str, Any], str]:
    """Write an export and check it against the model; what it is, for programs and for people.

    Raises:
        InputError: If weights or flags do not fit, or it answers otherwise than the model.
    """
    if args.bare:
        from tools.flows.bare import export_bare

        return export_bare(args)
    from tools.flows.exporting import export_model, write_float

    if not args.int8:
        return export_model(args)
    from tools.flows.quantising import calibration_files, write_int8
    from tools.flows.source import open_source

    # The float export is checked already; write_int8 writes args.out_file() and nothing else.
    source = open_source(args)
    calibration_files(args)  # What is wrong there is found before minutes have passed.
    with write_float(args, source) as float_file:
        return write_int8(args, source, float_file, recipes)
