"""Interferometric products that users hold, told apart by their files.

========================  ==============================================================
HyP3 INSAR_GAMMA and      a folder, or its zip, with ``*_corr.tif``, a
INSAR_ISCE_BURST          ``*_wrapped_phase.tif`` or ``*_unw_phase.tif``, and the
                          product's own ``.txt``
GAMMA pair                ``*_cc.tif`` and ``*_unw.tif``
OPERA CSLC pair           two HDF5 files of one burst, and its static layers if the mask
                          of layover and shadow is to count
========================  ==============================================================
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path, PurePosixPath

from cryonet.errors import SceneError
from cryonet.sources.archive import DAMAGES, check_swelling, unpack_member
from cryonet.sources.hyp3 import LAYOVER_SHADOW, is_hyp3, read_hyp3
from cryonet.sources.insar_product import InsarProduct, read_rasters
from cryonet.sources.opera import read_cslc_pair

_CC, _UNW = "_cc.tif", "_unw.tif"
_HDF5 = (".h5", ".hdf5")

#: Of a zip only these are unpacked, and no more than this.
_WANTED = (
    "_corr.tif", "_wrapped_phase.tif", "_unw_phase.tif", LAYOVER_SHADOW, ".txt", _CC, _UNW
)  # fmt: skip
_MOST_BYTES, _MOST_MEMBERS = 8 * 2**30, 1000


def read_insar(path: str | Path | Sequence[str | Path]) -> InsarProduct:
    """Return the interferometric product at `path`, read whole.

    Parameters
    ----------
    path
        A folder or zip that holds one product, or its files: ``*_cc.tif`` and
        ``*_unw.tif``, or two OPERA CSLC files and their static layers.

    Raises
    ------
    SceneError
        If nothing is there, the kind is unknown, a part is missing, the parts lie on
        different grids, or the zip is damaged, too large or not safe to unpack.
    """
    if not isinstance(path, str | Path):
        return _from_files([Path(item) for item in path])
    where = Path(path)
    if where.is_dir():
        return _from_folder(where)
    if not where.is_file():
        rule = "Give a folder, a zip, or two files."
        raise SceneError("the product does not exist", str(where), rule)
    if not zipfile.is_zipfile(where):
        rule = "Give a folder, a zip, or both files of a pair."
        raise SceneError("the kind of the product is unknown", where.name, rule)
    with tempfile.TemporaryDirectory() as folder:
        _unpack(where, Path(folder))
        return _from_folder(Path(folder), shown=where.name)


def read_products(paths: Sequence[str | Path]) -> list[InsarProduct]:
    """Return the products at `paths`: folders and zips, and the files of one further pair.

    Raises
    ------
    SceneError
        As `read_insar`, or if nothing is given.
    """
    if not paths:
        raise SceneError("there is no product", "none", "Give a folder, a zip, or two files.")
    loose = (_CC, _UNW, *_HDF5)
    files = [path for path in paths if Path(path).is_file() and str(path).endswith(loose)]
    found = [read_insar(path) for path in paths if path not in files]
    return [*found, read_insar(files)] if files else found


def _from_folder(folder: Path, *, shown: str | None = None) -> InsarProduct:
    shown = shown or folder.name
    files = sorted(path for path in folder.iterdir() if path.is_file())
    names = [path.name for path in files]
    if is_hyp3(names):
        return read_hyp3(folder)
    if any(name.endswith((_CC, _UNW)) for name in names):
        return _gamma_pair([path for path in files if path.name.endswith((_CC, _UNW))], shown)
    images = [path for path in files if path.suffix in _HDF5]
    if len(images) in (2, 3):
        return read_cslc_pair(images)
    if images:
        names = [path.name for path in images]
        raise SceneError("a pair of images is needed", ", ".join(names), "Give two files.")
    rule = "Known are HyP3 interferograms, pairs of _cc.tif and _unw.tif, and pairs of CSLC."
    raise SceneError("the kind of the product is unknown", shown, rule)


def _from_files(paths: list[Path]) -> InsarProduct:
    shown = ", ".join(path.name for path in paths)
    if len(paths) in (2, 3) and all(path.suffix in _HDF5 for path in paths):
        return read_cslc_pair(paths)
    if paths and all(path.name.endswith((_CC, _UNW)) for path in paths):
        return _gamma_pair(paths, shown)
    rule = "Give *_cc.tif and *_unw.tif, or two HDF5 files."
    raise SceneError("the two files make no pair", shown or "none", rule)


def _gamma_pair(paths: list[Path], shown: str) -> InsarProduct:
    """Return the pair; dates come from the names, ``20180106-20180130``, if they are there.

    The looks do not: GAMMA names tell those in range (``8rlks``) and not those in azimuth.
    """
    coherence = [path for path in paths if path.name.endswith(_CC)]
    phase = [path for path in paths if path.name.endswith(_UNW)]
    if not coherence:
        raise SceneError("the product has no coherence", shown, f"It ends in {_CC}.")
    if not phase:
        raise SceneError("the product has no phase", shown, f"It ends in {_UNW}.")
    if len(coherence) > 1 or len(phase) > 1:
        names = ", ".join(path.name for path in paths)
        raise SceneError("there are several products", names, "Give the two files of one.")
    days = [_days(path.name) for path in (coherence[0], phase[0])]
    if days[0] != days[1]:
        names = f"{coherence[0].name} and {phase[0].name}"
        raise SceneError("coherence and phase are of different dates", names, "Give one pair.")
    return InsarProduct(
        kind="gamma_pair",
        looks=None,
        primary_date=days[0][0],
        secondary_date=days[0][1],
        wavelength=None,
        **read_rasters(coherence[0], phase[0]),
    )


def _days(name: str) -> tuple[date | None, date | None]:
    found = re.search(r"(?<!\d)(\d{8})[-_](\d{8})(?!\d)", name)
    if found is None:
        return None, None
    try:
        first, second = (datetime.strptime(text, "%Y%m%d").date() for text in found.groups())
    except ValueError:
        return None, None
    return first, second


def _unpack(path: Path, folder: Path) -> None:
    """Unpack the files that a product is read from, flat, into `folder`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(archive.infolist(), path.name)
            for member in members:
                unpack_member(archive, member, folder / PurePosixPath(member.filename).name)
    except FileExistsError as error:
        name = Path(str(error.filename)).name
        raise SceneError("the zip holds a file twice", name, "Give one product.") from error
    except DAMAGES as error:
        # A zip that is locked with a password ends as a RuntimeError.
        rule = f"It cannot be unpacked: {str(error).rstrip('.')}."
        raise SceneError("the zip is damaged", path.name, rule) from error


def _checked(members: list[zipfile.ZipInfo], name: str) -> list[zipfile.ZipInfo]:
    if len(members) > _MOST_MEMBERS:
        raise SceneError(
            f"{name} holds too many files", len(members), f"At most {_MOST_MEMBERS} are read."
        )
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        # The upper half of the attributes is the Unix mode; 0o12 marks a symbolic link.
        linked = member.external_attr >> 28 == 0o12
        if parts.is_absolute() or ".." in parts.parts or ":" in member.filename or linked:
            rule = "No file of a product lies outside its own folder."
            raise SceneError(f"{name} is not safe to unpack", member.filename, rule)
    wanted = [m for m in members if not m.is_dir() and m.filename.endswith(_WANTED)]
    size = sum(member.file_size for member in wanted)
    if size > _MOST_BYTES:
        rule = f"At most {_MOST_BYTES // 2**30} GiB are unpacked."
        raise SceneError(f"{name} is too large", f"{size:,} bytes unpacked", rule)
    check_swelling(wanted, name)
    return wanted
