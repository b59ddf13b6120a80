"""Small scenes and models that many tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from odc.geo.geobox import GeoBox

from cryonet.scene import scene_from_arrays

BROWSER_OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Two OpenMP threads spin against each other on a busy machine.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted models of tests are no one's models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYONET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def grid(height: int, width: int, cell: float = 10.0) -> GeoBox:
    """Return a UTM grid of the given size."""
    return GeoBox.from_bbox(
        (300000, 3100000, 300000 + width * cell, 3100000 + height * cell),
        crs="EPSG:32645",
        shape=(height, width),
    )


@pytest.fixture(scope="session")
def blobs() -> xr.Dataset:
    """A made-up labelled scene whose classes can be told from red, nir and elevation."""
    generator = np.random.default_rng(7)
    shape = (160, 192)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    labels = ((rows // 40 + cols // 48) % 3).astype(np.uint8)
    noise = generator.normal(0, 0.01, (4, *shape)).astype(np.float32)
    return scene_from_arrays(
        {
            "green": 0.3 + noise[3],
            "red": 0.1 + 0.3 * labels + noise[0],
            "nir": 0.5 - 0.1 * labels + noise[1],
            "elevation": 5000 + 3 * rows + 2 * cols + 10 * noise[2],
            "labels": labels,
        },
        grid(*shape),
        attrs={"id": "blobs", "synthetic": True},
    )


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; tests that use it are marked `browser`."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.fail("the browser test needs Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS)
        yield started
        started.close()
