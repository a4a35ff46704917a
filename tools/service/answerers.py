"""Answerers of the applications whose answers may concern several images, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from configs.serve import Serve
from tasks.predictor import Model
from tools.face_embedding.comparing import COMPARING
from tools.flows.answerer import Answerer

# Each is a function from a model, the flags and the device to its answerer; nothing here needs
# torch, so that exports are served without it.
ANSWERERS: Mapping[str, Callable[[Model, Serve, str], Answerer]] = dict((COMPARING,))
