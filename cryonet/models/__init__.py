"""Architectures, by name."""

from cryonet.models.table import MODELS, PIXEL_MODELS, build_model, parameter_count

__all__ = ["MODELS", "PIXEL_MODELS", "build_model", "parameter_count"]
