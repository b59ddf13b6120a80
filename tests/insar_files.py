"""Interferometric products as their makers write them, small and made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from affine import Affine
from numpy.typing import NDArray

GAMMA = "S1AA_20190704T135158_20190716T135159_VVP012_INT80_G_ueF_F8BF"
BURST = "S1_372326_IW3_20180628_20190705_VV_INT40_D62F"
BURSTS = "S1A_064_E053_1_N27_3_E054_1_N27_8_20200604_20200616_VV_INT80_7EB5"

SLC = ("S1A_IW_SLC__1SDV_20190704T135158_20190704T135225_027968_032877_1C4D",
       "S1A_IW_SLC__1SDV_20190716T135159_20190716T135226_028143_032DC3_512B")  # fmt: skip
ONE_BURST = ("S1_372326_IW3_20180628T151555_VV_4673-BURST",
             "S1_372326_IW3_20190705T151602_VV_D62F-BURST")  # fmt: skip

GRID = Affine(80, 0, 478000, 0, -80, 3108160)


def parameters(granules: tuple[str, str], looks: tuple[int, int], *more: str) -> str:
    lines = [
        f"Reference Granule: {granules[0]}",
        f"Secondary Granule: {granules[1]}",
        "Baseline: 58.3898",
        "UTC time: 50003.605462",
        f"Range looks: {looks[0]}",
        f"Azimuth looks: {looks[1]}",
        "DEM source: GLO-30",
        *more,
    ]
    return "\n".join(lines) + "\n"


def numbers() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    coherence = rng.uniform(0.05, 0.95, (6, 8)).astype(np.float32)
    phase = rng.uniform(-20, 20, (6, 8)).astype(np.float32)
    coherence[0, :3] = phase[0, :3] = 0
    return coherence, phase


def write_hyp3(
    tif: Callable[..., Path],
    where: Path,
    stem: str = GAMMA,
    *,
    text: str | None = parameters(SLC, (20, 4)),
    wrapped: bool = True,
    unwrapped: bool = True,
    coherence: bool = True,
    place: Affine = GRID,
    mask: NDArray[np.uint8] | None = None,
) -> Path:
    """Write a HyP3 folder; None for a part leaves it out."""
    folder = where / stem
    folder.mkdir(exist_ok=True)
    known, phase = numbers()
    if coherence:
        tif(f"{stem}/{stem}_corr.tif", known, transform=GRID)
    if wrapped:
        turned = np.angle(np.exp(1j * phase.astype(float))).astype(np.float32)
        turned[phase == 0] = 0
        tif(f"{stem}/{stem}_wrapped_phase.tif", turned, transform=place)
    if unwrapped:
        tif(f"{stem}/{stem}_unw_phase.tif", phase, transform=place)
    if mask is not None:
        tif(f"{stem}/{stem}_ls_map.tif", mask, transform=GRID)
    if text is not None:
        (folder / f"{stem}.txt").write_text(text)
    (folder / f"{stem}.README.md.txt").write_text("What it is: a product\n")
    return folder


def write_cslc(where: Path, day: str, **parts: Any) -> Path:
    """Write a CSLC file; None for a part leaves it out."""
    rng = np.random.default_rng(int(day[-2:]))
    image = rng.standard_normal((12, 20)) + 1j * rng.standard_normal((12, 20))
    stem = f"OPERA_L2_CSLC-S1_T087-185683-IW2_{day.replace('-', '')}T161651Z"
    path = where / f"{stem}_20240504T181714Z_S1A_VV_v1.1.h5"
    content = {
        "/data/VV": image.astype(np.complex64),
        "/data/x_coordinates": 478002.5 + 5.0 * np.arange(20),
        "/data/y_coordinates": 3108155.0 - 10.0 * np.arange(12),
        "/data/projection": np.int32(32645),
        "/identification/zero_doppler_start_time": f"{day} 16:16:51.123456".encode(),
        "/metadata/processing_information/input_burst_metadata/wavelength": 0.05546576,
        **parts,
    }
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if isinstance(value, h5py.ExternalLink):
                file[name] = value
            elif value is not None:
                file.create_dataset(name, data=value)
    return path
