"""A small scene on disk, and a stand-in model whose map is known."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from cryonet.bundle import Bundle, save_bundle, weights_bytes
from cryonet.classes import CLASSES
from cryonet.config import ModelConfig
from cryonet.grid import Window, geobox_of
from cryonet.layers import LAYERS
from cryonet.manifest import LayerEntry, Manifest, TrainingRecord
from cryonet.models import build_model
from cryonet.normalise import LayerStatistics
from cryonet.progress import Progress
from cryonet.scene import scene_from_arrays
from cryonet.scene_writer import Storage, write_scene
from cryonet.synthetic import STORAGE, make_scene
from dashboards.project import Model, Project, open_project
from dashboards.results import show, write_pictures

SIDE = 96


class StandIn:
    """A model that maps the left half clean ice and the right half lake, in `tiles` steps.

    With `hold` each step waits for `go`, so that a test decides how far it comes.
    """

    def __init__(self, *, tiles: int = 4) -> None:
        self.tiles = tiles
        self.hold = False
        self.go = threading.Semaphore(0)
        self.windows: list[Window] = []
        self.fail: Exception | None = None
        self.missing: list[str] = []

    def __call__(self, scene: xr.Dataset, window: Window, progress: Progress) -> xr.Dataset:
        self.windows.append(window)
        for tile in range(self.tiles + 1):
            progress.step(tile, self.tiles, "predicting")
            if self.fail:
                raise self.fail
            if self.hold:
                assert self.go.acquire(timeout=20)
        codes = np.ones((window.height, window.width), np.uint8)
        codes[:, window.width // 2 :] = 3
        trust = np.full(codes.shape, 0.5, np.float32)
        geobox = geobox_of(scene)[window.slices]
        return xr.Dataset(
            {"classes": wrap_xr(codes, geobox, nodata=255), "confidence": wrap_xr(trust, geobox)},
            attrs={"missing_families": self.missing},
        )


def small_scene() -> xr.Dataset:
    """Return a scene: a bright and a dark half, a hole, a slope, a square of labels."""
    geobox = GeoBox.from_bbox(
        (300000, 3100000, 300000 + SIDE * 10, 3100000 + SIDE * 10),
        crs="EPSG:32645",
        shape=(SIDE, SIDE),
    )
    bright = np.full((SIDE, SIDE), 0.1, np.float32)
    bright[:, SIDE // 2 :] = 0.8
    bright[:10, :10] = np.nan
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[30:60, 30:60] = 2
    slope = np.broadcast_to(np.arange(SIDE, dtype=np.float32) * 5, (SIDE, SIDE)).copy()
    bands = ("blue", "green", "red", "nir", "swir16")
    return scene_from_arrays(
        {**dict.fromkeys(bands, bright), "elevation": slope, "labels": labels},
        geobox,
        attrs={"id": "small", "synthetic": True, "title": "Synthetic <b>halves</b>"},
    )


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene as ``cryonet`` writes it, optics as scaled bytes."""
    where = tmp_path_factory.mktemp("scenes") / "small"
    return write_scene(small_scene(), where, storage={"optical": Storage("uint16", 1e-4, -0.1, 0)})


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def project(scene_folder: Path, stand_in: StandIn) -> Iterator[Project]:
    """The scene with the stand-in model and its finished map of the whole scene."""
    plain = open_project(scene_folder)
    assert plain.folder is not None
    folder = Path(plain.folder.name)
    found = stand_in(plain.scene, plain.whole, _Quiet())
    write_pictures(found, folder)
    opened = show(folder, plain.scene, plain.whole, plain.store, title="Whole scene")
    stand_in.windows.clear()
    model = Model("stand-in", "cpu", stand_in)
    yield dataclasses.replace(plain, model=model, opened=opened)
    plain.close()


class _Quiet:
    def step(self, done: int, total: int, message: str = "") -> None:
        return None


@dataclasses.dataclass(frozen=True)
class Served:
    """A dashboard that runs as its users start it."""

    url: str
    port: int
    log: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The synthetic scene with an untrained model, served by the command itself.

    Untrained, because what is tested is the page; small tiles, so that a run takes long
    enough to be watched and cancelled.
    """
    folder = tmp_path_factory.mktemp("served")
    scene = write_scene(make_scene(320, seed=0), folder / "scene", storage=STORAGE)
    bundle = save_bundle(untrained(), folder / "bundle")
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    log = folder / "server.log"
    command = [
        sys.executable, "-m", "dashboards.server", "--port", str(port),
        "--scene", str(scene), "--bundle", str(bundle),
    ]  # fmt: skip
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.2)
        yield Served(url, port, log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def untrained() -> Bundle:
    """Return a bundle of a small network as it is before training."""
    torch.manual_seed(0)
    config = ModelConfig(encoder="resnet18", decoder_channels=(64, 32, 16, 16, 16))
    names = ("red", "nir", "swir16", "elevation")
    module = build_model(config, layers=len(names), classes=4)
    plain = LayerStatistics(mean=0.0, std=1.0, low=-1e6, high=1e6, fill=0.0)
    manifest = Manifest(
        title="Untrained network",
        created="2026-01-01T00:00:00+00:00",
        model=config,
        layers=tuple(LayerEntry.of(LAYERS[name], plain) for name in names),
        classes=tuple(row.name for row in CLASSES),
        resolution=10,
        tile=64,
        overlap=0.5,
        parameters=sum(p.numel() for p in module.parameters()),
        weights_sha256=hashlib.sha256(weights_bytes(module)).hexdigest(),
        training=TrainingRecord(
            config={}, seed=0, scenes=(), epoch=0, epochs=0, interrupted=False, seconds=0,
            device="cpu", versions={}, metrics={},
        ),
    )  # fmt: skip
    return Bundle(module, manifest)
