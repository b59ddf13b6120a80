"""build_stack: from a scene to its named layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from cryonet.grid import geobox_of
from cryonet.layers.cell import cell_size
from cryonet.layers.spec import Array, LayerSpec
from cryonet.layers.table import select_layers
from cryonet.progress import SILENT, Progress
from cryonet.scene import check_scene


def build_stack(
    scene: xr.Dataset,
    names: str | Sequence[str] | None = None,
    *,
    progress: Progress = SILENT,
) -> xr.Dataset:
    """Return the layers of `scene`: one float32 variable ``(y, x)`` each, NaN if unknown.

    Parameters
    ----------
    scene
        On one GeoBox, in memory or lazy (dask); a lazy scene gives lazy layers with the
        same values. An infinite value counts as missing.
    names
        None for the full stack, the name of a stack, or layer names: see `select_layers`.
    progress
        Told of each layer.

    Returns
    -------
    xr.Dataset
        In the order asked for, each layer with ``units``, ``long_name`` and ``family``.
        The attributes are the scene's and ``absent``: ``{layer: [missing variable, …]}``
        for the layers of the stack that this scene cannot give.

    Raises
    ------
    LayerError
        See `select_layers`.
    GridError
        If a layer that measures slopes is asked for and the grid is not projected, north
        up, and square.
    """
    specs, absent = select_layers(scene, names)
    geobox = geobox_of(scene)
    cell = cell_size(geobox) if any(spec.metric for spec in specs) else float("nan")
    check_scene(scene)
    needed = {name for spec in specs for name in spec.needs}
    arrays = {name: _finite(scene[name].data) for name in needed}
    layers = {}
    for done, spec in enumerate(specs):
        progress.step(done, len(specs), spec.name)
        values = compute_layer(spec, arrays, cell)
        layers[spec.name] = _label(values, spec, scene[spec.needs[0]])
    progress.step(len(specs), len(specs), "layers")
    attrs = {**scene.attrs, "absent": {name: list(lacks) for name, lacks in absent.items()}}
    return xr.Dataset(layers, attrs=attrs)


def compute_layer(spec: LayerSpec, arrays: Mapping[str, Any], cell: float) -> Any:
    """Return one layer of numpy or dask `arrays`; dask blocks see the halo they need."""
    inputs = [arrays[name] for name in spec.needs]
    if not any(isinstance(values, da.Array) for values in inputs):
        return _on_block(*inputs, spec=spec, cell=cell)
    return da.map_overlap(  # type: ignore[no-untyped-call]
        partial(_on_block, spec=spec, cell=cell),
        *(da.asarray(values) for values in inputs),  # type: ignore[no-untyped-call]
        depth=spec.halo,
        boundary="none",  # the layer itself knows what lies beyond the raster's edge
        meta=np.empty((0, 0), np.float32),
    )


def _on_block(*blocks: Array, spec: LayerSpec, cell: float) -> Array:
    return spec.compute(dict(zip(spec.needs, blocks, strict=True)), cell)


def _finite(values: Any) -> Any:
    if isinstance(values, da.Array):
        return da.map_blocks(_finite, values, meta=np.empty((0, 0), values.dtype))  # type: ignore[no-untyped-call]
    bad = np.isinf(values)
    return np.where(bad, values.dtype.type(np.nan), values) if bad.any() else values


def _label(values: Any, spec: LayerSpec, like: xr.DataArray) -> xr.DataArray:
    attrs = {"units": spec.units, "long_name": spec.long_name, "family": spec.family}
    layer = xr.DataArray(values, coords=like.coords, dims=like.dims, name=spec.name, attrs=attrs)
    # Where the CRS stands: odc-geo and rioxarray look it up by this key.
    layer.encoding = {k: v for k, v in like.encoding.items() if k == "grid_mapping"}
    return layer
