"""A scene with everything, a prediction of it, and the demo's bundle with a card."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import xarray as xr

from conftest import grid
from cryonet.bundle import read_manifest
from cryonet.map_strips import as_prediction
from cryonet.passport import make_passport
from cryonet.prediction import write_prediction
from cryonet.scene import read_item, scene_from_arrays
from cryonet.scene_writer import write_scene

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo" / "bundle"
SHAPE = (61, 83)
NAMES = ("other", "clean_ice", "debris", "lake")


def make_codes() -> np.ndarray:
    """Ice with a tongue of debris, a lake, and a corner that is unknown."""
    codes = np.zeros(SHAPE, np.uint8)
    codes[5:40, 10:50] = 1
    codes[30:55, 20:40] = 2
    codes[52:60, 25:38] = 3
    codes[:7, :9] = 255
    return codes


def make_prediction(codes: np.ndarray, seed: int = 0, **attrs: object) -> xr.Dataset:
    """Probabilities for which `codes` are the likeliest, more or less surely."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet([1, 1, 1, 1], codes.shape).transpose(2, 0, 1)
    sure = generator.uniform(0.5, 1, codes.shape)
    shares *= 1 - sure
    for code in range(4):
        shares[code] += np.where(codes == code, sure, 0)
    shares[:, codes == 255] = np.nan
    found = as_prediction(shares.astype(np.float32), grid(*codes.shape), NAMES)
    told = {"scene": "ground", "model": "m", "datetime": "2020-09-03T05:00:00Z", "synthetic": 0}
    found.attrs = {**told, "overlap": 0.25, "tile": 128, "temperature": 0.9, **attrs}
    return found


def make_ground(codes: np.ndarray) -> xr.Dataset:
    """A scene of that size; labels differ from `codes` along a strip and end half way."""
    generator = np.random.default_rng(5)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    elevation = 5000 + 4.3 * rows + 2.1 * cols + generator.normal(0, 3, SHAPE)
    elevation[20:25, 60:70] = np.nan
    labels = np.where(codes == 255, 0, codes).astype(np.uint8)
    labels[28:33, 15:45] = 1
    labels[:, 70:] = 255
    bands = generator.uniform(0.1, 0.9, (3, *SHAPE)).astype(np.float32)
    return scene_from_arrays(
        {
            **dict(zip(("red", "green", "blue"), bands, strict=True)),
            "elevation": elevation.astype(np.float32),
            "labels": labels,
        },
        grid(*SHAPE),
        attrs={"id": "ground", "synthetic": False},
    )


def place(where: Path, *, properties: dict[str, object] | None = None, **attrs: object):
    """Write a scene, a bundle and a prediction that links to both; return their folders."""
    codes = make_codes()
    told = {"synthetic": False, "datetime": "2020-09-03T05:00:00Z", **(properties or {})}
    scene = write_scene(make_ground(codes), where / "scene", properties=told)
    bundle = where / "bundle"
    bundle.mkdir()
    for name in ("manifest.json", "CARD.md", "item.json", "failures.png", "reliability.png"):
        shutil.copy(DEMO / name, bundle / name)
    passport = make_passport(
        [read_manifest(bundle)], scene, read_item(scene), settings={"batch": 2, "flips": True}
    )
    links = {"scene": scene / "scene.json", "model": bundle / "item.json"}
    prediction = write_prediction(
        make_prediction(codes, **attrs), where / "map", passport=passport, sources=links
    )
    return SimpleNamespace(scene=scene, bundle=bundle, map=prediction, where=where)
