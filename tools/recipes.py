"""All recipes. To add one, write its folder and name it here."""

from __future__ import annotations

from typing import Any

from tools.classification.recipe import CLASSIFICATION_RECIPE
from tools.detection.recipe import DETECTION_RECIPE
from tools.face_attributes.recipe import ATTRIBUTES_RECIPE
from tools.face_embedding.recipe import EMBEDDING_RECIPE
from tools.fine_grained.recipe import FINE_GRAINED_RECIPE
from tools.flows.recipe import Recipe
from tools.geolocation.recipe import GEOLOCATION_RECIPE

# Of several recipes of an application the first evaluates and predicts.
RECIPES: tuple[Recipe[Any], ...] = (
    CLASSIFICATION_RECIPE,
    FINE_GRAINED_RECIPE,
    DETECTION_RECIPE,
    GEOLOCATION_RECIPE,
    ATTRIBUTES_RECIPE,
    EMBEDDING_RECIPE,
)
