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
from cryonet.layers.fits import Fits
from cryonet.layers.spec import Array, LayerSpec
from cryonet.layers.table import select_layers, sun_of
from cryonet.progress import SILENT, Progress
from cryonet.scene import check_scene


def build_stack(
    scene: xr.Dataset,
    names: str | Sequence[str] | None = None,
    *,
    fits: Fits | None = None,
    chunks: int | None = None,
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
    fits
        What PCA and texture learned from training scenes, from `fit_layers` or a manifest.
    chunks
        Side of the blocks of lazy layers; a scene in memory gives them too if it is given.
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
    held = fits or Fits()
    specs, absent = select_layers(scene, names, fits=held.names)
    geobox = geobox_of(scene)
    cell = cell_size(geobox) if any(spec.metric for spec in specs) else float("nan")
    check_scene(scene)
    needed = {name for spec in specs for name in spec.needs}
    given = scene if chunks is None else scene.chunk({"y": chunks, "x": chunks})
    arrays = {name: given[name].data for name in needed}
    made = compute_layers_of(specs, arrays, cell, fits=held, sun=sun_of(scene), progress=progress)
    layers = {s.name: _label(made[s.name], s, scene[s.needs[0]]) for s in specs}
    attrs = {**scene.attrs, "absent": {name: list(lacks) for name, lacks in absent.items()}}
    return xr.Dataset(layers, attrs=attrs)


def compute_layers_of(
    specs: Sequence[LayerSpec],
    arrays: Mapping[str, Any],
    cell: float,
    *,
    fits: Fits,
    sun: tuple[float, float] | None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Return layers of numpy or dask `arrays` by name; infinite values count as missing."""
    finite = {name: _finite(values) for name, values in arrays.items()}
    made: dict[str, Any] = {}
    for group in _groups(specs):
        progress.step(len(made), len(specs), group[0].name)
        made |= compute_group(group, finite, cell, fits=fits, sun=sun)
    progress.step(len(specs), len(specs), "layers")
    return made


def _groups(specs: Sequence[LayerSpec]) -> list[list[LayerSpec]]:
    """Return the rows that are computed in one pass, in the order of their first."""
    groups: dict[Any, list[LayerSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.together or spec.name, []).append(spec)
    return list(groups.values())


def compute_group(
    group: Sequence[LayerSpec],
    arrays: Mapping[str, Any],
    cell: float,
    *,
    fits: Fits,
    sun: tuple[float, float] | None,
) -> dict[str, Any]:
    """Return layers that share a pass, of numpy or dask `arrays`, by name.

    Blocks of dask arrays see the halo they need.
    """
    needs = tuple(dict.fromkeys(name for spec in group for name in spec.needs))
    inputs = [arrays[name] for name in needs]
    names = [spec.name for spec in group]
    more: dict[str, Any] = {"sun": sun} if group[0].sun else {}
    if group[0].fit:
        more["fit"] = getattr(fits, group[0].fit)
    run = partial(_on_block, group=tuple(group), needs=needs, cell=cell, more=more)
    if not any(isinstance(values, da.Array) for values in inputs):
        return dict(zip(names, run(*inputs), strict=True))
    halo = max(spec.halo for spec in group)
    depth = {axis: min(halo, side) for axis, side in enumerate(inputs[0].shape)}
    blocks = [
        da.overlap.overlap(da.asarray(values), depth=depth, boundary="none")  # type: ignore[no-untyped-call]
        for values in inputs
    ]
    whole = da.map_blocks(  # type: ignore[no-untyped-call]
        lambda *parts: np.stack(run(*parts)),
        *blocks,
        new_axis=0,
        chunks=((len(group),), *blocks[0].chunks),
        meta=np.empty((0, 0, 0), np.float32),
    )
    # The layer itself knows what lies beyond the raster's edge: nothing was added there.
    inner = da.overlap.trim_internal(whole, {0: 0, 1: depth[0], 2: depth[1]}, boundary="none")  # type: ignore[no-untyped-call]
    return {name: inner[number] for number, name in enumerate(names)}


def _on_block(
    *blocks: Array,
    group: Sequence[LayerSpec],
    needs: Sequence[str],
    cell: float,
    more: Mapping[str, Any],
) -> list[Array]:
    arrays, first = dict(zip(needs, blocks, strict=True)), group[0]
    if first.together is None:
        return [first.compute(arrays, cell, **more)]
    return first.together([spec.name for spec in group], arrays, cell, **more)


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
