"""Architectures, by name."""

from cryonet.models.table import MODELS, build_model, parameter_count

__all__ = ["MODELS", "build_model", "parameter_count"]
