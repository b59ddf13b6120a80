"""Synthetic scenes that many tests share: each is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import xarray as xr

from cryonet.synthetic import make_scene

GetScene = Callable[..., xr.Dataset]


@cache
def _made(size: int, seed: int, region: str) -> xr.Dataset:
    return make_scene(size, seed=seed, region=region)


@pytest.fixture(scope="session")
def scene() -> GetScene:
    """Return a scene by size, seed and region; nobody may write to it."""

    def get(size: int = 256, seed: int = 0, region: str = "poiqu") -> xr.Dataset:
        return _made(size, seed, region)

    return get
