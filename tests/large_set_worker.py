"""Makes a training set of a large made-up scene and draws from it; prints the peak of memory.

Run as ``python large_set_worker.py SIDE FOLDER``; with the folder ``-`` layers stay in memory.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from xarray.core import indexing

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from repeated import Repeated

from cryonet.batches import draw_batch
from cryonet.config import TrainConfig
from cryonet.scene import BANDS, VARIABLES
from cryonet.trainset import make_trainset

PATTERN = 256


def large_scene(side: int) -> xr.Dataset:
    """A lazy scene of all optical bands; only what is asked for is ever in memory."""
    generator = np.random.default_rng(0)
    rows, cols = np.mgrid[:PATTERN, :PATTERN]
    labels = ((rows // 64 + cols // 64) % 3).astype(np.uint8)
    shape = (side, side)
    data = {
        name: (
            ("y", "x"),
            indexing.LazilyIndexedArray(
                Repeated(
                    (0.2 + 0.1 * labels + generator.normal(0, 0.02, labels.shape)).astype("f4"),
                    shape,
                )
            ),
            {"units": VARIABLES[name].units},
        )
        for name in BANDS
    }
    data["labels"] = (("y", "x"), indexing.LazilyIndexedArray(Repeated(labels, shape)), {})
    geobox = GeoBox(shape, Affine(10, 0, 300000, 0, -10, 3300000), "EPSG:32645")
    return xr.Dataset(data, coords=xr_coords(geobox), attrs={"id": "large", "synthetic": True})


def main() -> None:
    side, folder = int(sys.argv[1]), None if sys.argv[2] == "-" else Path(sys.argv[2])
    config = TrainConfig.model_validate(
        {
            "scenes": ("large",),
            "out": "bundle",
            "classes": ("other", "clean_ice", "debris"),
            "features": {"stack": ("optical", "indices")},
            "split": {"test": "west", "block": 128, "gap": 8},
            "chip": 64,
            "stride": 64,
        }
    )
    data = make_trainset([large_scene(side)], config, folder=folder)
    total = 0.0
    for batch in range(20):
        images, _ = draw_batch(data, config, range(8 * batch, 8 * batch + 8))
        total += float(images.abs().sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    stack = 4 * len(data.specs) * side**2
    print(json.dumps({"peak": peak, "stack": stack, "sum": total}))


if __name__ == "__main__":
    main()
