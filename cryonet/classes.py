"""The map classes: their codes, names and colours, the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MapClass:
    """One class of the map: its code in rasters, name, wording and colour."""

    code: int
    name: str
    title: str
    colour: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three bytes."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return (red, green, blue)


#: Colours after Okabe & Ito (2008), told apart with colour-blind eyes.
CLASSES = (
    MapClass(0, "other", "other ground", "#d9d4c7"),
    MapClass(1, "clean_ice", "clean ice", "#56b4e9"),
    MapClass(2, "debris", "debris-covered ice", "#d55e00"),
    MapClass(3, "lake", "glacial lake", "#0a3d91"),
)

#: Code of pixels with no label or no prediction.
NODATA = 255

#: Order in which labels are burned: a later class covers an earlier one.
BURN_ORDER = ("clean_ice", "debris", "lake")
