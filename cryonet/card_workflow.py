"""From a bundle and labelled scenes to its card: measure, draw, write."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from cryonet.bundle import Bundle, load_bundle, renew_card
from cryonet.card_sections import FAILURES, RELIABILITY
from cryonet.measurement import Measurement, measure
from cryonet.plotting import plot_reliability
from cryonet.plotting.failures import plot_failures
from cryonet.progress import SILENT, Progress
from cryonet.scene import open_scene

#: Bytes of each picture: a card is read in a browser, and lies in repositories.
LARGEST = {RELIABILITY: 50_000, FAILURES: 240_000}

#: Dots per inch to draw at, the finest first: noisy blocks do not compress.
_DOTS = (110, 90, 75, 60, 45, 30)


def run_card(
    bundle: str | Path,
    scenes: Sequence[str | Path],
    *,
    device: str = "auto",
    batch: int = 4,
    progress: Progress = SILENT,
) -> Path:
    """Measure the bundle in a folder on labelled scenes and renew its card; return the folder.

    What an earlier measurement found is replaced. The weights stay as they are.

    Raises
    ------
    BundleError, SceneError, GridError
        As `cryonet.measurement.measure`.
    """
    path = Path(bundle)
    opened = [open_scene(scene) for scene in scenes]
    return add_card(path, load_bundle(path), opened, device=device, batch=batch, progress=progress)


def add_card(
    path: Path,
    bundle: Bundle,
    scenes: Sequence[xr.Dataset],
    *,
    device: str = "auto",
    batch: int = 4,
    progress: Progress = SILENT,
) -> Path:
    """Measure `bundle`, which lies in folder `path`, and renew its card; return the folder."""
    found = measure(bundle, scenes, device=device, batch=batch, progress=progress)
    manifest = bundle.manifest.model_copy(update={"measured": found.record})
    return renew_card(path, manifest, pictures=card_pictures(found, classes=manifest.classes))


def card_pictures(found: Measurement, *, classes: Sequence[str]) -> dict[str, bytes]:
    """Return the pictures of a card as PNG, by file name, each within `LARGEST`."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    plot_reliability(found.reliability, ax=figure.subplots())
    drawn = {RELIABILITY: figure}
    if found.failures:
        drawn[FAILURES] = plot_failures(found.failures, classes=classes)
    return {name: _png(figure, LARGEST[name]) for name, figure in drawn.items()}


def _png(figure: Figure, largest: int) -> bytes:
    """Return a figure as PNG, as fine as its size in bytes allows."""
    data = b""
    for dots in _DOTS:
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=dots)
        data = held.getvalue()
        if len(data) <= largest:
            break
    return data
