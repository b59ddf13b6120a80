"""Public sample data: where each file lies, and what it must hold.

Files are fetched once, into the user's cache, and used only if their SHA-256 is the one
stated here. A folder that holds them already, a mirror, takes the place of the network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryonet.errors import CryonetError
from cryonet.fetch import fetch_file
from cryonet.file_hash import file_sha256
from cryonet.progress import SILENT, Progress

#: Names a folder with sample files, which are then taken from there.
MIRROR = "CRYONET_SAMPLES"


@dataclass(frozen=True, slots=True)
class Sample:
    """One public scene.

    Attributes
    ----------
    title, terms
        What it is; whose it is, and under which terms.
    source
        Address of the folder that holds its files.
    files
        SHA-256 by file name.
    """

    title: str
    terms: str
    source: str
    files: Mapping[str, str] = field(repr=False)


#: The samples by name.
SAMPLES = {
    "everest": Sample(
        title="Landsat 7 ETM+, Everest region, 30 October 2000, 30 m, with glacier outlines",
        terms="Image: U.S. Geological Survey, public domain. Outlines: Randolph Glacier "
        "Inventory 6.0, CC BY 4.0. Files as GlacioHack/geoutils-data keeps them.",
        source="https://raw.githubusercontent.com/GlacioHack/geoutils-data/"
        "bd45050f82f552fc2a1c977993f20b0c13eeb05b/data/Everest_Landsat/",
        files={
            "LE71400412000304SGS00_RGB.tif": (
                "7d0505a8610fd7784cb71c03e5b242715cd1574e978c2c86553d60fd82372c30"
            ),
            "LE71400412000304SGS00_B4.tif": (
                "271fa34e248f016f87109c8e81960caaa737558fbae110ec9e0d9e2d30d80c26"
            ),
            "15_rgi60_glacier_outlines.gpkg": (
                "d1a5bcd4bd4731a24c2398c016a6f5a8064160fedd5bab10609adacda9ba41ef"
            ),
        },
    ),
}


def fetch_sample(
    name: str, *, mirror: str | Path | None = None, progress: Progress = SILENT
) -> dict[str, Path]:
    """Return where the files of a sample lie, by file name, fetching what is not there yet.

    Parameters
    ----------
    name
        Of `SAMPLES`.
    mirror
        A folder that holds the files, itself or in a folder within; by default that of the
        environment variable ``CRYONET_SAMPLES``, and the network if it is not set.
    progress
        Told of each file.

    Raises
    ------
    CryonetError
        If there is no such sample, a file is missing or not the one stated, or the network
        does not answer.
    """
    if name not in SAMPLES:
        rule = f"Choose from {', '.join(SAMPLES)}."
        raise CryonetError("there is no such sample", name, rule)
    sample = SAMPLES[name]
    folder = mirror or os.environ.get(MIRROR)
    found = {}
    for done, (file, digest) in enumerate(sample.files.items()):
        progress.step(done, len(sample.files), f"fetching {file}")
        if folder:
            found[file] = _mirrored(Path(folder), file, digest)
        else:
            remedy = f"Check the network, or give a folder with the files: --mirror, or {MIRROR}."
            found[file] = fetch_file(sample.source + file, digest, remedy=remedy)
    progress.step(len(sample.files), len(sample.files), "fetched")
    return found


def _mirrored(folder: Path, file: str, digest: str) -> Path:
    places = [folder / file, *sorted(folder.glob(f"*/{file}"))]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        rule = f"The folder holds {file}, itself or in a folder within."
        raise CryonetError("the mirror lacks a file of the sample", str(folder), rule)
    actual = file_sha256(path)
    if actual != digest:
        rule = f"Its SHA-256 is {digest}."
        raise CryonetError("the file is not that of the sample", f"{path}: {actual}", rule)
    return path
