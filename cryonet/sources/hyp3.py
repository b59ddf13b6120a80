"""Interferograms of ASF HyP3: INSAR_GAMMA and INSAR_ISCE_BURST.

A product is a folder of GeoTIFFs of one stem, and a text file of that stem in which each
line is ``Key: value``. The reference is the older image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

from cryonet.errors import SceneError
from cryonet.sources.insar_product import SENTINEL1, InsarProduct, Kind, read_rasters

#: How the names of each kind begin, up to the ``_corr.tif``. GAMMA: platforms, two times,
#: polarisation with orbit type and days, spacing, the letter G. ISCE: burst or a range of
#: bursts, two days, polarisation, spacing and four hexadecimal digits.
_NAMES: Mapping[Kind, re.Pattern[str]] = {
    "hyp3_gamma": re.compile(r"S1[A-D]{2}_\d{8}T\d{6}_\d{8}T\d{6}_[VH]{2}[PRO]\d+_INT\d+_G_"),
    "hyp3_isce_burst": re.compile(r"S1[A-D]?_.*\d{8}_\d{8}_[VH]{2}_INT\d+_[0-9A-F]{4}$"),
}

_CORR = "_corr.tif"

#: How the name of GAMMA's map of layover and shadow ends; not every product has one.
LAYOVER_SHADOW = "_ls_map.tif"

#: A parameter file is a page; longer ones are something else.
_LONGEST = 2**16


def is_hyp3(names: list[str]) -> bool:
    """Return whether file names are those of a HyP3 interferogram."""
    return any(name.endswith((_CORR, "_wrapped_phase.tif", "_unw_phase.tif")) for name in names)


def read_hyp3(folder: Path) -> InsarProduct:
    """Return the one interferogram in `folder`.

    The wrapped phase is taken where there is one, else the unwrapped phase is wrapped.
    Layover and shadow are left out where the product maps them.

    Raises
    ------
    SceneError
        If the folder holds no coherence, no phase, several products, one of an unknown
        kind, or no parameter file; or the parameters or rasters cannot be used.
    """
    stem = _stem(folder)
    kind = _kind(stem)
    phases = [folder / f"{stem}_{name}_phase.tif" for name in ("wrapped", "unw")]
    phase = next((path for path in phases if path.is_file()), None)
    if phase is None:
        rule = f"A product has {phases[0].name} or {phases[1].name}."
        raise SceneError("the product has no phase", folder.name, rule)
    mask = folder / f"{stem}{LAYOVER_SHADOW}"
    text = folder / f"{stem}.txt"
    parameters = read_parameters(text)
    looks = _count(parameters, "Range looks", text) * _count(parameters, "Azimuth looks", text)
    return InsarProduct(
        kind=kind,
        looks=looks,
        primary_date=_day(parameters, "Reference Granule", text),
        secondary_date=_day(parameters, "Secondary Granule", text),
        wavelength=_wavelength(parameters, text),
        **read_rasters(folder / f"{stem}{_CORR}", phase, mask if mask.is_file() else None),
    )


def _stem(folder: Path) -> str:
    found = sorted(path.name for path in folder.iterdir() if path.name.endswith(_CORR))
    if not found:
        rule = f"A product has a file that ends in {_CORR}."
        raise SceneError("the product has no coherence", folder.name, rule)
    if len(found) > 1:
        raise SceneError(
            "the folder holds several products", ", ".join(found), "Give one product a folder."
        )
    return found[0].removesuffix(_CORR)


def _kind(stem: str) -> Kind:
    for kind, pattern in _NAMES.items():
        if pattern.match(stem):
            return kind
    rule = "Keep the names that HyP3 gave to INSAR_GAMMA and INSAR_ISCE_BURST products."
    raise SceneError("the kind of the product is unknown", stem, rule)


def read_parameters(path: Path) -> dict[str, str]:
    """Return the ``Key: value`` lines of a parameter file.

    Raises
    ------
    SceneError
        If the file is missing, too long, or no text.
    """
    if not path.is_file():
        rule = "Looks and dates stand in it; unpack the whole product."
        raise SceneError("the parameter file is missing", path.name, rule)
    if path.stat().st_size > _LONGEST:
        rule = f"It has at most {_LONGEST:,} bytes."
        raise SceneError("the parameter file is too long", path.name, rule)
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        rule = "Unpack the product again."
        raise SceneError("the parameter file is no text", path.name, rule) from error
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _stated(parameters: Mapping[str, str], key: str, path: Path) -> str:
    if not parameters.get(key):
        raise SceneError(f"{path.name} does not state what is needed", key, "Unpack it again.")
    return parameters[key]


def _count(parameters: Mapping[str, str], key: str, path: Path) -> int:
    value = _stated(parameters, key, path)
    if not re.fullmatch(r"[1-9][0-9]{0,3}", value):
        rule = "It is a whole number from 1."
        raise SceneError(f"{path.name} states no number of looks", f"{key}: {value}", rule)
    return int(value)


def _day(parameters: Mapping[str, str], key: str, path: Path) -> date:
    """Return the day in the name of a granule, or of the first of several."""
    value = _stated(parameters, key, path)
    found = re.search(r"_(\d{8})T\d{6}_", value)
    try:
        return datetime.strptime(found[1] if found else "", "%Y%m%d").date()
    except ValueError as error:
        rule = "It holds a time, as 20190704T135158."
        raise SceneError(f"{path.name} names no granule", f"{key}: {value}", rule) from error


def _wavelength(parameters: Mapping[str, str], path: Path) -> float | None:
    """Return the wavelength as stated, else that of the satellite the granule is named for."""
    value = parameters.get("Wavelength")
    if value is None:
        return SENTINEL1 if _stated(parameters, "Reference Granule", path)[:2] == "S1" else None
    try:
        length = float(value)
    except ValueError:
        length = 0.0
    if not 0.001 < length < 10:
        raise SceneError(f"{path.name} states no wavelength", value, "It is given in metres.")
    return length
