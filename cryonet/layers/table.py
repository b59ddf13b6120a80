"""The table of all layers, named selections of it, and its Markdown form."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import get_args

import numpy as np
import xarray as xr

from cryonet.errors import LayerError
from cryonet.layers.coherence import COHERENCE
from cryonet.layers.fits import FitName
from cryonet.layers.illumination import ILLUMINATION
from cryonet.layers.indices import INDICES
from cryonet.layers.optical import OPTICAL
from cryonet.layers.pca import PCA
from cryonet.layers.phase import PHASE
from cryonet.layers.spec import Family, LayerSpec
from cryonet.layers.tasseled_cap import TASSELED_CAP
from cryonet.layers.terrain import TERRAIN
from cryonet.layers.texture import TEXTURE

#: Every layer by name, in the order of a full stack; a new layer is a row of its family.
LAYERS: Mapping[str, LayerSpec] = {
    spec.name: spec
    for spec in (
        *OPTICAL, *INDICES, *PCA, *TASSELED_CAP, *TERRAIN, *ILLUMINATION, *TEXTURE,
        *COHERENCE, *PHASE,
    )
}  # fmt: skip

#: The layers of each family, by its name.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    family: tuple(s.name for s in LAYERS.values() if s.family == family and not s.optional)
    for family in get_args(Family)
}

#: Named selections. ``lean`` is our choice: what the other layers are computed from, and the
#: slope and coherence that debris-covered ice needs; redundant layers have been seen to lower
#: scores and to raise the spread between seeds.
STACKS: Mapping[str, tuple[str, ...]] = {
    "optical": tuple(spec.name for spec in OPTICAL),
    "full": tuple(name for name, spec in LAYERS.items() if not spec.optional),
    "lean": (*(spec.name for spec in OPTICAL), "elevation", "slope", "coherence"),
}


def select_layers(
    scene: xr.Dataset,
    names: str | Sequence[str] | None = None,
    *,
    fits: Collection[FitName] = (),
) -> tuple[list[LayerSpec], dict[str, tuple[str, ...]]]:
    """Return the layers `scene` can give, and for each absent one what it lacks.

    Parameters
    ----------
    scene
        Only its variables' names are looked at.
    names
        None for the full stack, the name of a stack in `STACKS` or of a family, or the names
        of layers and families in the order wanted.
    fits
        Names of the fits that are there: a layer without its fit is absent too.

    Returns
    -------
    present, absent
        The specs in order, and ``{layer: (missing variable, …)}``, with ``a fit of …`` for
        a missing fit. An absent layer of a named stack is left out and reported; one that
        was asked for by name is refused.

    Raises
    ------
    LayerError
        If a name is unknown or given twice, a layer asked for by name cannot be computed,
        or the scene gives no layer at all.
    """
    named = names is None or isinstance(names, str)
    specs = [_spec(name) for name in _names(names)]
    missing = {s.name: _lacks(s, scene, fits) for s in specs}
    absent = {name: lacks for name, lacks in missing.items() if lacks}
    present = [spec for spec in specs if spec.name not in absent]
    held = ", ".join(str(name) for name in scene.data_vars) or "nothing"
    if absent and not named:
        shown = "; ".join(f"{name} needs {', '.join(lacks)}" for name, lacks in absent.items())
        raise LayerError("the scene cannot give these layers", shown, f"It holds {held}.")
    if not present:
        stack = "full" if names is None else names
        raise LayerError("the scene gives no layer of this stack", stack, f"It holds {held}.")
    return present, absent


def _lacks(spec: LayerSpec, scene: xr.Dataset, fits: Collection[FitName]) -> tuple[str, ...]:
    variables = tuple(name for name in spec.needs if name not in scene.data_vars)
    missing = [f"a fit of {spec.fit}"] if spec.fit and spec.fit not in fits else []
    if spec.sun and sun_of(scene) is None:
        missing.append("the sun's position")
    return (*variables, *missing)


def sun_of(scene: xr.Dataset) -> tuple[float, float] | None:
    """Return the sun's azimuth and elevation, degrees, or None where the scene lacks them."""
    stated = [scene.attrs.get(f"view:sun_{name}") for name in ("azimuth", "elevation")]
    if any(value is None for value in stated):
        return None
    azimuth, elevation = (float(value) for value in stated)  # type: ignore[arg-type]
    if not (np.isfinite(azimuth) and 0 < elevation <= 90):
        rule = "view:sun_azimuth is clockwise from north, view:sun_elevation from 0 to 90."
        raise LayerError("the sun's position is impossible", f"{azimuth}, {elevation}", rule)
    return azimuth, elevation


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return STACKS["full"]
    if isinstance(names, str):
        if names in STACKS:
            return STACKS[names]
        if names in FAMILIES:
            return FAMILIES[names]
        known = ", ".join(dict.fromkeys((*STACKS, *FAMILIES)))
        rule = f"Known are {known}; a layer goes in a list of names."
        raise LayerError("there is no such stack", names, rule)
    listed = [name for given in names for name in _members(given)]
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise LayerError("a layer is asked for twice", ", ".join(twice), "Name each once.")
    if not listed:
        raise LayerError("no layer is asked for", list(names), "Name at least one.")
    return tuple(listed)


def _members(name: str) -> tuple[str, ...]:
    return (name,) if name in LAYERS else FAMILIES.get(name, (name,))


def _spec(name: str) -> LayerSpec:
    if name in LAYERS:
        return LAYERS[name]
    near = get_close_matches(name, LAYERS, n=3)
    rule = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(LAYERS)}."
    raise LayerError("there is no such layer", name, rule)


def layers_table(specs: Iterable[LayerSpec] | None = None) -> str:
    """Return a Markdown table of `specs`, by default of all layers."""
    heads = ("name", "family", "formula", "unit", "needs", "reference")
    lines = [_line(heads), _line(("---",) * len(heads))]
    for spec in LAYERS.values() if specs is None else specs:
        needs = ", ".join(spec.needs)
        cells = (spec.name, spec.family, spec.formula, spec.units, needs, spec.reference)
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    # A bar inside a cell would end it.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
