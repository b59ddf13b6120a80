"""The synthetic teaching scene: a generated valley system with known truth."""

from __future__ import annotations

from cryonet.synthetic.teaching import STORAGE, make_scene

__all__ = ["STORAGE", "make_scene"]
