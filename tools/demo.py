#!/usr/bin/env python
"""Serve a page that shows answers for images: ``tools/demo.py RUN_OR_WEIGHTS...``."""

from __future__ import annotations

from configs.demo import Demo
from tools import cli


def main() -> None:
    """Open models, serve until Ctrl-C or SIGTERM, and close."""
    config = cli.parse(Demo)
    from tools.page.showing import open_page
    from tools.recipes import RECIPES

    server, shelf = open_page(config, cli.prepare(config.common), RECIPES)
    names = [row["name"] for row in shelf.describe()]
    count = f"{len(names)} models" if len(names) > 1 else names[0]
    text = f"{count}; open {server.url} (Ctrl-C ends it)"
    cli.result(config.common, {"url": server.url, "models": names}, text)
    server.serve_until_stopped()


if __name__ == "__main__":
    cli.run(main)
