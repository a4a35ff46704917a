"""Hugging Face's hub, through its own client: models fetched and sent when a tool is told to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets.errors import InputError

HUB = "hf-hub:"


def fetch_hub(name: str, files: Sequence[str] = ("config.json", "model.safetensors")) -> Path:
    """The folder with files of a model, from the client's cache or the net.

    Args:
        name: Such as ``hf-hub:timm/mobilenetv1_100.ra4_e3600_r224_in1k``; the mark in front may
            be left out.
        files: To have; by default a Hugging Face model's configuration and weights.

    Returns:
        The client's own copy, which nobody should write to.

    Raises:
        InputError: If huggingface_hub is not installed, or a file cannot be had.
    """
    with _client(name, "cannot be had from the hub") as hub:
        found = [hub.hf_hub_download(name.removeprefix(HUB), file) for file in files]
    return Path(found[0]).parent


def send_hub(folder: Path, files: Sequence[str], name: str, *, public: bool) -> str:
    """Send files to a model's page, which is made if it is not there.

    Args:
        folder: Holds the files.
        files: To send; others in the folder stay.
        name: ``OWNER/NAME``.
        public: Whether all may see a page that is made; one that is there stays as it is.

    Returns:
        Address of the page.

    Raises:
        InputError: If huggingface_hub is not installed, nobody is logged in, or the hub refuses.
    """
    with _client(name, "cannot be sent to the hub") as hub:
        if hub.get_token() is None:
            raise InputError(f"{name}: nobody is logged in to the hub: run `hf auth login` first")
        api = hub.HfApi()
        page = api.create_repo(name, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=list(files),
            commit_message="Weights and their card",
        )
    return str(page)


@contextlib.contextmanager
def _client(name: str, failure: str) -> Iterator[Any]:
    """The client; what it raises becomes a message that names the model."""
    try:
        import huggingface_hub

        # HTTPError is that of whichever library the client stands on.
        from huggingface_hub.errors import (  # type: ignore[attr-defined]
            HFValidationError,
            HTTPError,
        )
    except ImportError as error:
        raise InputError(
            f"{name}: the hub needs huggingface_hub: pip install huggingface_hub"
        ) from error
    try:
        yield huggingface_hub
    except (HTTPError, HFValidationError, OSError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        reason = str(error).partition("\n")[0]
        raise InputError(f"{name}: {failure}{offline}: {reason}") from error
