#!/usr/bin/env python
"""Serve models over HTTP, for programs and on a page: ``tools/serve.py MODEL...``."""

from __future__ import annotations

from configs.serve import Serve
from tools import cli


def main() -> None:
    """Open models, serve until Ctrl-C or SIGTERM, and close."""
    config = cli.parse(Serve)
    from tools.service.opening import open_service

    service, shelf = open_service(config)
    rows = shelf.describe()
    names = [row["name"] for row in rows]
    count = f"{len(names)} models" if len(names) > 1 else names[0]
    text = f"{count}; open {service.url}, or send images to {service.url}v1/predict (Ctrl-C ends)"
    cli.result(config.common, {"url": service.url, "models": names}, text)
    service.serve_until_stopped()


if __name__ == "__main__":
    cli.run(main)
