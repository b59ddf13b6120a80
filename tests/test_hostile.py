"""Hostile and broken files are refused in three parts, fast, in little memory, unheard."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_files as files
import hostile_tiffs as tiffs
import pytest
from hostile_cases import CASES, Case, Place

from cryonet.bundle import Bundle, save_bundle, weights_bytes
from cryonet.classes import CLASSES
from cryonet.config import ModelConfig
from cryonet.file_hash import file_sha256
from cryonet.layers import LAYERS
from cryonet.manifest import LayerEntry, Manifest, TrainingRecord
from cryonet.models import build_model, parameter_count
from cryonet.normalise import LayerStatistics
from cryonet.sources.local import import_scene

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]

#: The bounds of T25.
SECONDS, BYTES = 1.0, 200 * 2**20

#: Seconds after which the worker is taken to hang; far above the bound, machines are busy.
PATIENCE = 60.0


class Worker:
    """The process that opens the files, begun anew if one of them ends it."""

    def __init__(self, good: dict[str, str]) -> None:
        self.good = good
        self.process: subprocess.Popen[str] | None = None

    def ask(self, case: Case, path: Any, out: Path) -> dict[str, Any]:
        process = self.process or self._begin()
        assert process.stdin is not None and process.stdout is not None
        shown = [str(p) for p in path] if isinstance(path, list) else str(path)
        process.stdin.write(json.dumps({"opener": case.opener, "path": shown, "out": str(out)}))
        process.stdin.write("\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], PATIENCE)[0]:
            self.end()
            return {"end": f"nothing for {PATIENCE:g} s"}
        line = process.stdout.readline()
        if not line:
            self.end()
            return {"end": "the process died"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _begin(self) -> subprocess.Popen[str]:
        here = Path(__file__).parent
        env = {**os.environ, "PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"}
        out = f"{self.good['out']}{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [sys.executable, here / "hostile_worker.py", json.dumps({**self.good, "out": out})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            self.end()
            pytest.fail("the worker cannot begin")
        return self.process

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Who listens where the files point to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An honest raster, scene, outline, pair of images and bundle."""
    folder = tmp_path_factory.mktemp("good")
    raster = tiffs.geotiff(folder / "good.tif", tiffs.noise(60))
    scene = import_scene(folder / "scene", {"red": raster}, scale=1e-4, offset=0)
    config = ModelConfig(encoder="tu-mobilenetv3_small_100", decoder_channels=(16,) * 5)
    module = build_model(config, layers=1, classes=2)
    (folder / "weights").write_bytes(weights_bytes(module))
    statistics = LayerStatistics(mean=0.3, std=0.1, low=0, high=1, fill=0.3)
    record = TrainingRecord(
        config={}, seed=0, scenes=(), epoch=1, epochs=1, interrupted=False, seconds=1.0,
        device="cpu", versions={}, metrics={},
    )  # fmt: skip
    described = Manifest(
        title="a", created="2026-01-01", model=config,
        layers=(LayerEntry.of(LAYERS["red"], statistics),),
        classes=tuple(c.name for c in CLASSES[:2]), resolution=10, tile=64, overlap=0.25,
        parameters=parameter_count(module), weights_sha256=file_sha256(folder / "weights"),
        training=record,
    )  # fmt: skip
    bundle = save_bundle(Bundle(module, described), folder / "bundle")
    found = {"raster": raster, "scene": scene, "bundle": bundle, "out": folder / "out"}
    pair = files.cslc(folder, lambda file: None)
    return {**found, "outlines": files.outlines(folder / "good.gpkg"), "pair": pair}


@pytest.fixture(scope="module")
def worker(good: dict[str, Any]) -> Iterator[Worker]:
    shown = {key: str(path) for key, path in good.items() if key != "pair"}
    process = Worker({**shown, "pair": "|".join(map(str, good["pair"]))})
    yield process
    process.end()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_files_are_refused(
    case: Case, worker: Worker, listener: socket.socket, good: dict[str, Any], tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    named = {key: good[key] for key in ("raster", "scene", "bundle", "outlines")}
    place = Place(tmp_path, url, **named)
    path = case.make(place)
    before = sorted(tmp_path.iterdir())
    found = worker.ask(case, path, tmp_path / "out")
    if found["end"] == "opened":
        assert case.harmless, "a hostile file was opened"
    else:
        assert found["end"] == "refused", found["end"]
        assert all(found["parts"]) and found["parts"][2].endswith((".", "…"))
        assert sorted(tmp_path.iterdir()) == before
    assert not found["reached"]
    assert found["seconds"] < SECONDS
    assert found["bytes"] < BYTES
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("opener", ["raster", "labels", "insar", "scene", "bundle"])
def test_honest_files_are_opened(
    opener: str, worker: Worker, good: dict[str, Any], tmp_path: Path
) -> None:
    """The ways in are open: what is refused above is refused for what it is."""
    scene = Path(shutil.copytree(good["scene"], tmp_path / "scene"))
    paths = {**good, "labels": good["outlines"], "scene": scene, "insar": None}
    path = paths[opener] or files.cslc(tmp_path, lambda file: None)
    found = worker.ask(Case("", opener, lambda p: None), path, tmp_path / "out")
    assert found["end"] == "opened", found
