"""How far the map hangs on where windows begin: the demo against itself, cut by 1 to 31 pixels.

Run with ``python data/recipes/shift.py``; writes ``data/results/shift.json``. Scene and model are
the synthetic demo. Compared are classes at least half a window from every cut edge.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cryonet.bundle import load_bundle
from cryonet.classes import NODATA
from cryonet.predict import predict_scene
from cryonet.scene import open_scene

DATA = Path(__file__).parents[1]


def agreement(k: int, whole: np.ndarray, scene: object, bundle: object) -> float:
    """Return the share of interior pixels with the same class after `k` rows and columns less."""
    cut = scene.isel(y=slice(k, None), x=slice(k, None))  # type: ignore[attr-defined]
    found = predict_scene(bundle, cut, device="cpu")["classes"].values  # type: ignore[arg-type]
    margin = bundle.manifest.tile // 2  # type: ignore[attr-defined]
    inner = np.s_[margin:-margin, margin:-margin]
    one, other = whole[k:, k:][inner], found[inner]
    known = (one != NODATA) & (other != NODATA)
    return float((one == other)[known].mean())


def main() -> None:
    """Write the agreement for each shift, and its least and median."""
    bundle = load_bundle(DATA / "demo" / "bundle")
    scene = open_scene(DATA / "demo" / "scene")
    whole = predict_scene(bundle, scene, device="cpu")["classes"].values
    shares = {k: round(agreement(k, whole, scene, bundle), 5) for k in range(1, 32)}
    told = {
        "scene": "demo (synthetic)",
        "agreement": shares,
        "least": min(shares.values()),
        "median": float(np.median(list(shares.values()))),
    }
    (DATA / "results" / "shift.json").write_text(json.dumps(told, indent=1) + "\n")
    print("least", told["least"], "median", told["median"])


if __name__ == "__main__":
    main()
