"""Deployment: exports, INT8, their runtime, and how fast they are."""

import os

# Set before ONNX Runtime is imported: it would tell its makers that it is used, and keep a file.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
