"""Public samples as scenes."""

from __future__ import annotations

from pathlib import Path

from cryonet.progress import SILENT, Progress
from cryonet.samples import SAMPLES, fetch_sample
from cryonet.scene_writer import check_target
from cryonet.sources.local import import_scene


def sample_scene(
    name: str,
    out: str | Path,
    *,
    mirror: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write a public sample as a scene's folder; return it.

    Parameters
    ----------
    name, mirror
        See `cryonet.samples.fetch_sample`.

    Raises
    ------
    CryonetError
        As `fetch_sample` and `import_scene`; nothing is written then.
    """
    check_target(out, overwrite=overwrite)
    colour, infrared, outlines = fetch_sample(name, mirror=mirror, progress=progress).values()
    # Display numbers, not calibrated reflectance: 0 to 255 becomes 0 to 1.
    return import_scene(
        out,
        {
            **{band: f"{colour}:{k}" for k, band in enumerate(("red", "green", "blue"), 1)},
            "nir": f"{infrared}:1",
        },
        labels={"glacier": outlines},
        clean_ice_rule=f"red>={140 / 255:.10f}",
        scale=1 / 255,
        offset=0.0,
        acquired="2000-10-30T04:40:00+00:00",
        properties={"title": SAMPLES[name].title, "cryonet:terms": SAMPLES[name].terms},
        overwrite=overwrite,
        progress=progress,
    )
