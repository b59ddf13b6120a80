"""cryonet: map clean ice, debris-covered ice and glacial lakes, and see why."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Loaded on first use, so that building layers never imports torch.
_PUBLIC = {
    "CLASSES": "cryonet.classes",
    "CryonetError": "cryonet.errors",
    "LAYERS": "cryonet.layers",
    "TrainConfig": "cryonet.config",
    "build_stack": "cryonet.layers",
    "load_bundle": "cryonet.bundle",
    "load_config": "cryonet.config",
    "make_scene": "cryonet.synthetic",
    "open_prediction": "cryonet.prediction",
    "open_scene": "cryonet.scene",
    "predict_ensemble": "cryonet.ensemble",
    "predict_scene": "cryonet.predict",
    "save_bundle": "cryonet.bundle",
    "score": "cryonet.evaluate",
    "write_prediction": "cryonet.prediction",
    "write_scene": "cryonet.scene_writer",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        # A public function may share its module's name: keep the function.
        globals()[name] = getattr(import_module(_PUBLIC[name]), name)
        return globals()[name]
    raise AttributeError(f"module 'cryonet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
