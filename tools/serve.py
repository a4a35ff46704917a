#!/usr/bin/env python
"""Serve models over HTTP, for programs and on a page: ``tools/serve.py MODEL...``."""

from __future__ import annotations

from configs.serve import Serve
from datasets.errors import InputError
from tools import cli

# What the extra "serve" installs.
NEEDED = ("fastapi", "h11", "prometheus_client", "python_multipart", "uvicorn")


def main() -> None:
    """Open models, serve until Ctrl-C or SIGTERM, and close."""
    config = cli.parse(Serve)
    try:
        from tools.service.opening import open_service
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise InputError(
            f"{cli.called_name()} needs {error.name}: pip install 'mobilenet-suite[serve]'"
        ) from error

    service, shelf = open_service(config)
    rows = shelf.describe()
    names = [row["name"] for row in rows]
    count = f"{len(names)} models" if len(names) > 1 else names[0]
    text = f"{count}; open {service.url}, or send images to {service.url}v1/predict (Ctrl-C ends)"
    cli.result(config.common, {"url": service.url, "models": names}, text)
    service.serve_until_stopped()


if __name__ == "__main__":
    cli.run(main)
