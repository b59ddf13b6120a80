"""ModelPass: one model going over a scene, from the top down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import xarray as xr
from odc.geo.geobox import GeoBox

from cryonet.augment import DIHEDRALS, direction_pairs
from cryonet.backend import engine_for
from cryonet.bundle import Bundle
from cryonet.errors import ConfigError, GridError
from cryonet.grid import Window, geobox_of, starts
from cryonet.layers.windows import ReadPixels
from cryonet.manifest import Manifest
from cryonet.progress import SILENT, Progress
from cryonet.runner import Runner, pick_device
from cryonet.scene_inputs import SceneInputs
from cryonet.stitch import Read, Strip, overlap_pixels, strips

#: Pixels that a thread of a CPU runs a network on at once, where a window is not larger: more
#: would no longer be reused by the C library, and was slower. Our choice, as measured.
PIECE = 2**17


def check_fits(manifest: Manifest, geobox: GeoBox) -> None:
    """Refuse a scene whose grid is not what the model was trained on.

    Raises
    ------
    GridError
        If the grid is geographic, or its resolution differs by more than the manifest's
        tolerance.
    """
    if geobox.crs is not None and geobox.crs.geographic:
        raise GridError("the scene's grid is geographic", str(geobox.crs), "Warp it to metres.")
    cell = abs(geobox.resolution.x)
    if abs(cell / manifest.resolution - 1) > manifest.resolution_tolerance:
        raise GridError(
            "the scene has another resolution than the model",
            f"{cell:g} m",
            f"The model was trained at {manifest.resolution:g} m; resample the scene.",
        )


class ModelPass:
    """A model, a scene, and how the one goes over the other.

    Parameters
    ----------
    device, overlap, batch, blend, flips, calibrated, window, backend, precision
        As for `cryonet.predict.predict_scene`.
    read
        As for `cryonet.layers.LayerWindows`.
    progress
        Told if the network is converted.

    Attributes
    ----------
    inputs
        The scene as the model sees it.
    target, outer
        The part of the scene that is mapped, and with what lies round it that the network sees.
    geobox
        Its grid.
    temperature
        To which probabilities are to be brought; 1 for none.

    Raises
    ------
    BundleError
        If the scene lacks a variable that a layer of the model needs: named.
    ConfigError, CryonetError
        If there is no such device, or the backend cannot be had: `cryonet.backend.engine_for`.
    GridError
        If the scene's grid does not fit the model, or the window not the scene.
    """

    def __init__(
        self,
        bundle: Bundle,
        scene: xr.Dataset,
        *,
        device: str = "auto",
        overlap: float | None = None,
        batch: int = 4,
        blend: str = "cosine",
        flips: bool = False,
        calibrated: bool = True,
        window: Window | None = None,
        backend: str = "torch",
        precision: str = "fp32",
        read: ReadPixels | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.manifest = manifest = bundle.manifest
        geobox = geobox_of(scene)
        check_fits(manifest, geobox)
        self.inputs = SceneInputs(manifest, scene, read=read)
        chosen = pick_device(device)
        share = manifest.overlap if overlap is None else overlap
        shape = (int(geobox.shape[0]), int(geobox.shape[1]))
        self.target = window or Window(0, 0, *shape)
        self.geobox = geobox[self.target.slices]
        self.temperature = manifest.temperature if calibrated else 1.0
        margin = overlap_pixels(manifest.tile, share)
        self.outer = _context(self.target, shape, manifest.tile, margin)
        pairs = direction_pairs(manifest.layers)
        self._sweep: dict[str, Any] = {"overlap": share, "blend": blend, "batch": batch}
        engine = engine_for(
            bundle,
            (min(manifest.tile, self.outer.height), min(manifest.tile, self.outer.width)),
            backend=_backend(backend, precision),
            device=chosen,
            windows=len(self.tops) * self.windows_a_strip * (len(DIHEDRALS) if flips else 1),
            progress=progress,
        )
        self._run = Runner(engine.module, chosen, flips=flips, pairs=pairs, precision=precision)
        if chosen.type == "cpu" and engine.module is bundle.module and precision == "fp32":
            # A thread a window: they never wait for each other, as the threads of one window do.
            workers = max(1, min(torch.get_num_threads(), batch))
            most = max(1, PIECE // manifest.tile**2)
            self._sweep |= {"workers": workers, "batch": max(1, min(batch // workers, most))}
        self._attrs: dict[str, Any] = {
            "device": str(chosen),
            **engine.attrs,
            "precision": precision,
            "tile": manifest.tile,
            "overlap": share,
            "blend": blend,
            "flips": int(flips),
            "temperature": self.temperature,
            "model": manifest.title,
            "weights_sha256": manifest.weights_sha256,
            "scene": str(scene.attrs.get("id", "")),
            "datetime": str(scene.attrs.get("datetime", "")),
            "synthetic": int(bool(scene.attrs.get("synthetic")) or manifest.synthetic),
        }
        if manifest.optional_families:
            self._attrs["missing_families"] = list(self.inputs.missing)

    @property
    def attrs(self) -> dict[str, Any]:
        """What a prediction says of how it was made."""
        seen = {"batch_held": self._run.largest, "precision_check": self._run.check}
        return self._attrs | {key: value for key, value in seen.items() if value}

    def learn(self, told: Mapping[str, Any]) -> None:
        """Take over what another process, which goes this pass in our place, says of it."""
        self._attrs |= told

    @property
    def tops(self) -> list[int]:
        """The first rows of the strips, in the target."""
        rows, _ = self.target.within(self.outer).slices
        begins = self._starts(self.outer.height)
        ends = [*begins[1:], self.outer.height]
        pairs = zip(begins, ends, strict=True)
        return [max(0, a - rows.start) for a, b in pairs if a < rows.stop and b > rows.start]

    @property
    def windows_a_strip(self) -> int:
        """How many windows lie side by side."""
        return len(self._starts(self.outer.width))

    def _starts(self, length: int) -> list[int]:
        tile = self.manifest.tile
        return starts(length, tile, overlap_pixels(tile, self._sweep["overlap"]))

    def strips(
        self,
        *,
        first: int = 0,
        ahead: int = 0,
        read: Read | None = None,
        progress: Progress = SILENT,
    ) -> Iterator[Strip]:
        """Yield the target's probabilities ``(class, y, x)``, uncalibrated, from the top down.

        Parameters
        ----------
        first
            The first row of the target that is wanted: the top of a strip.
        ahead
            Batches that a thread reads ahead.
        read
            Gives the inputs of a window of the scene, in place of `inputs`.
        """
        give = self.inputs.__getitem__ if read is None else read
        outer, inner = self.outer, self.target.within(self.outer)
        rows, cols = inner.slices
        for strip in strips(
            lambda window: give(window.moved(outer.row, outer.col)),
            self._run,
            (outer.height, outer.width),
            outputs=len(self.manifest.classes),
            tile=self.manifest.tile,
            first=rows.start + first if first else 0,
            ahead=ahead,
            stage=self._run.stage,
            progress=progress,
            **self._sweep,
        ):
            top, bottom = strip.top, strip.top + len(strip.flags)
            kept = slice(max(top, rows.start) - top, max(top, min(bottom, rows.stop)) - top)
            if kept.start < kept.stop:
                yield Strip(
                    top + kept.start - rows.start,
                    strip.values[:, kept, cols],
                    strip.flags[kept, cols],
                )


def _backend(backend: str, precision: str) -> str:
    """Return the backend to ask for: one of single precision only is not for another."""
    if precision == "fp32" or backend == "torch":
        return backend
    if backend == "auto":
        return "torch"
    raise ConfigError(f"{backend} computes in single precision", precision, "Give --backend torch.")


def _context(window: Window, shape: tuple[int, int], tile: int, margin: int) -> Window:
    # The model should see as much round a small window as it saw in training.
    height, width = shape
    if not (
        0 <= window.row < window.row + window.height <= height
        and 0 <= window.col < window.col + window.width <= width
    ):
        raise GridError("the window is not inside the scene", window, f"The scene is {shape}.")
    grow = max(margin, (tile - min(window.height, window.width) + 1) // 2)
    return window.expand(grow, shape)
