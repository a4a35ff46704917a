"""Names of the files in a run folder."""

WEIGHTS_NAME = "model.safetensors"
HEADS_FOLDER = "heads"  # Of a run of several heads: a file for each.
