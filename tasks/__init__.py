"""The library above the body: one folder per application, and what they share."""

import os

# Set before ONNX Runtime is imported anywhere below: its telemetry would report to its makers that
# it is used, and store a file in the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
