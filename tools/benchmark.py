#!/usr/bin/env python
"""Time models stage by stage and compare them with others: ``tools/benchmark.py MODEL``."""

from __future__ import annotations

from configs.benchmark import Benchmark
from tools import cli


def main() -> None:
    """Time the models and print a table; with ``--out`` also write it to a file as JSON."""
    args = cli.parse(Benchmark)
    from tools.speed.benchmarking import benchmark

    result, text = benchmark(args)
    cli.result(args.common, result, text)
    if args.common.out is not None:
        cli.write_json(args.common.out, result)


if __name__ == "__main__":
    cli.run(main)
