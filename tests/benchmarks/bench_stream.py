"""The full stack of large scenes, window by window on two threads, never written.

Run with ``python tests/benchmarks/bench_stream.py [SIDE …]``. Each side runs in a process of
its own, so that its peak of memory is its own. The scene is synthetic: a pattern of 1024²
pixels repeated, read lazily as a scene on disk would be. Results go to
``tests/benchmarks/results.json``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from turns import keep

PATTERN = 1024


def sweep(side: int) -> dict[str, float]:
    """Compute every block of every layer once; return seconds, peak and layers."""
    import xarray as xr
    from affine import Affine
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import xr_coords
    from repeated import Repeated
    from xarray.core import indexing

    from cryonet.grid import Window
    from cryonet.layers import LayerWindows, fit_layers
    from cryonet.layers.windows import BLOCK
    from cryonet.synthetic import make_scene

    small = make_scene(PATTERN, seed=0).drop_vars("labels")
    geobox = GeoBox((side, side), Affine(10, 0, 300000, 0, -10, 3300000), "EPSG:32645")
    variables = {
        name: (
            ("y", "x"),
            indexing.LazilyIndexedArray(Repeated(data.values, (side, side))),
            data.attrs,
        )
        for name, data in small.data_vars.items()
    }
    scene = xr.Dataset(variables, coords=xr_coords(geobox), attrs=small.attrs)
    fits = fit_layers([small])
    rows = range(0, side, BLOCK)

    def strip(top: int) -> float:
        windows = LayerWindows(scene, fits=fits)
        height, total = min(BLOCK, side - top), 0.0
        for left in range(0, side, BLOCK):
            block = windows[Window(top, left, height, min(BLOCK, side - left))]
            total += float(block[-1, 0, 0])
        return total

    strip(0)  # compiles
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(strip, rows))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    count = len(LayerWindows(scene, fits=fits).names)
    return {"layers": count, "seconds": round(seconds, 1), "peak GB": round(peak, 2)}


def main() -> None:
    """Run each side in its own process and print a line of it."""
    if os.environ.get("CRYONET_STREAM"):
        print(json.dumps(sweep(int(sys.argv[1]))))
        return
    sides = [int(side) for side in sys.argv[1:]] or [2048, 4096, 10980]
    for side in sides:
        run = subprocess.run(
            [sys.executable, __file__, str(side)],
            env={**os.environ, "CRYONET_STREAM": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(run.stdout.splitlines()[-1])
        speed = side * side / found["seconds"] / 1e6
        print(
            f"{side}²: {found['layers']} layers, {found['seconds']} s, {speed:.2f} Mpx/s, "
            f"peak {found['peak GB']} GB"
        )
        keep(f"full stack streamed, {side}²", found)


if __name__ == "__main__":
    main()
