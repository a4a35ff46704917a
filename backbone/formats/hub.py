"""Downloads models from the Hugging Face Hub and uploads them, through its own client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets.errors import InputError

HUB = "hf-hub:"


def fetch_hub(name: str, files: Sequence[str] = ("config.json", "model.safetensors")) -> Path:
    """Get files of a model, from the client's cache or from the Hub.

    Args:
        name: Name such as ``hf-hub:timm/mobilenetv1_100.ra4_e3600_r224_in1k``; the prefix may be
            left out.
        files: Files to get; by default the configuration and weights of a Hugging Face model.

    Returns:
        Folder of the client's own copy, which must not be changed.

    Raises:
        InputError: If huggingface_hub is not installed, or a file is not available.
    """
    with _client(name, "cannot be had from the hub") as hub:
        found = [hub.hf_hub_download(name.removeprefix(HUB), file) for file in files]
    return Path(found[0]).parent


def send_hub(folder: Path, files: Sequence[str], name: str, *, public: bool) -> str:
    """Upload files to a model's repository, which is created if it does not exist.

    Args:
        folder: Folder that holds the files.
        files: Names of the files to upload; other files in the folder are not.
        name: ``OWNER/NAME`` of the model.
        public: Whether a new repository is visible to everyone; an existing one is not changed.

    Returns:
        Address of the model's page.

    Raises:
        InputError: If huggingface_hub is not installed, nobody is logged in, or the Hub refuses.
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
    """The client; an exception that it raises becomes a message that names the model."""
    try:
        import huggingface_hub

        # HTTPError comes from the library that the client uses.
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
