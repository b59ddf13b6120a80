"""The blocks of a scene where a map is most often wrong, and what they look like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.classes import NODATA
from cryonet.grid import Window
from cryonet.measured import Failure
from cryonet.metrics import confusion
from cryonet.plotting.failures import FailurePicture
from cryonet.plotting.maps import STRETCH

if TYPE_CHECKING:
    from cryonet.manifest import Manifest

#: Share of a block's pixels that must be scored for it to be looked at: our choice.
LEAST = 0.1

#: Bands to show, best first: true colour, then what a scene without it may have.
_COLOURS = (("red", "green", "blue"), ("nir", "red", "green"), ("swir16", "nir", "red"))


def find_failures(
    codes: NDArray[np.integer],
    labels: NDArray[np.integer],
    *,
    scene: str,
    classes: Sequence[str],
    block: int,
) -> list[Failure]:
    """Return the blocks with wrong pixels, the largest share of wrong ones first.

    Each names the pair of classes that is confused most in it; of equal pairs the one whose
    labelled, then mapped class comes first.

    Parameters
    ----------
    codes, labels
        Class codes ``(y, x)`` of map and labels, 255 where a pixel does not count.
    scene
        Its id.
    classes
        Names by code.
    block
        Side of a block in pixels.
    """
    found = []
    for window in _blocks(codes.shape[0], codes.shape[1], block):
        matrix = confusion(codes[window.slices], labels[window.slices], len(classes))
        pixels, hits = int(matrix.sum()), int(np.trace(matrix))
        if pixels < LEAST * window.height * window.width or pixels == hits:
            continue
        np.fill_diagonal(matrix, 0)
        truth, said = divmod(int(matrix.argmax()), len(classes))
        found.append(
            Failure(
                scene=scene,
                row=window.row,
                col=window.col,
                height=window.height,
                width=window.width,
                pixels=pixels,
                wrong=pixels - hits,
                labelled=classes[truth],
                mapped=classes[said],
                confused=int(matrix[truth, said]),
            )
        )
    return sorted(found, key=share_wrong, reverse=True)


def _blocks(height: int, width: int, side: int) -> Iterator[Window]:
    """Yield the blocks from which splits are drawn: those at the far edges may be smaller."""
    for row in range(0, height, side):
        for col in range(0, width, side):
            yield Window(row, col, min(side, height - row), min(side, width - col))


def share_wrong(failure: Failure) -> float:
    """Return the share of wrong pixels among those scored."""
    return failure.wrong / failure.pixels


def failure_picture(
    failure: Failure,
    scene: xr.Dataset,
    manifest: Manifest,
    *,
    codes: NDArray[np.integer],
    labels: NDArray[np.integer],
    confidence: NDArray[np.float32],
) -> FailurePicture:
    """Return what there is to show of a block.

    The picture is true colour, or false colour, or the first variable of the model's first
    layer, stretched between percentiles of the block alone.

    Parameters
    ----------
    codes, labels, confidence
        Of the whole scene, ``(y, x)``; labels 255 where a pixel was not scored.
    """
    window = Window(failure.row, failure.col, failure.height, failure.width)
    rows, cols = window.slices
    bands = next((b for b in _COLOURS if set(b) <= set(scene.data_vars)), ())
    names = bands or tuple(str(n) for n in scene.data_vars if n != "labels")[:1]
    parts = [np.asarray(scene[n].isel(y=rows, x=cols).values, np.float32) for n in names]
    values = np.stack(parts, axis=-1)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, STRETCH) if known.size else (0.0, 1.0)
    picture = ((values - low) / (high - low if high > low else 1)).astype(np.float32)
    return FailurePicture(
        title=f"{failure.scene}\nrow {failure.row}, column {failure.col}",
        picture=picture if bands else picture[..., 0],
        picture_title=", ".join(names),
        labels=labels[window.slices].astype(np.uint8),
        classes=np.where(
            labels[window.slices] < len(manifest.classes), codes[window.slices], NODATA
        ).astype(np.uint8),
        confidence=np.where(
            labels[window.slices] < len(manifest.classes), confidence[window.slices], np.nan
        ).astype(np.float32),
    )
