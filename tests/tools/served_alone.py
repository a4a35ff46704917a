"""Asks a service of its own for answers, with the standard library alone."""

from __future__ import annotations

import http.client
import io
import threading
from pathlib import Path

from PIL import Image

from configs.serve import Serve
from tools.service.opening import open_service


def ask_all(files: tuple[Path, ...]) -> None:
    """Print the status of a plain answer and of a drawn one, or of two embeddings, of each."""
    image = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 90, 30)).save(image, "PNG")
    service, shelf = open_service(Serve(models=files, port=0))
    port = service.server_address[1]
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    try:
        for number, row in enumerate(shelf.describe()):
            for query in ("", "&draw=true" if row["images"] == 1 else ""):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
                connection.request(
                    "POST",
                    f"/v1/predict?model={number}{query}",
                    image.getvalue(),
                    {"Content-Type": "image/png"},
                )
                print(connection.getresponse().status)
                connection.close()
    finally:
        service.shutdown()
        service.server_close()
        thread.join()
