"""The regions a synthetic scene can imitate, as rows of a literal table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """What distinguishes one region from another. All values are our choice.

    Attributes
    ----------
    name, title
        Key and wording.
    crs, longitude, latitude
        Where the generated scene is centred, degrees.
    datetime, sun_azimuth, sun_elevation
        Time of the simulated Sentinel-2 pass (UTC) and where the sun stands then, degrees
        (azimuth clockwise from north).
    equilibrium_line
        Height of the equilibrium line, m.
    relief
        Height between the lowest valley and the highest summit of a 10 km scene, m.
    creep, roughness
        How far slopes creep while rivers cut (rounds ridges and widens valleys), and how
        rough steep rock is, as a share of the pixel.
    steepness
        Exponent of the drainage area in the stream-power law: larger gives sharper
        headwalls over gentler valley floors.
    rock
        Names of the two rock spectra whose mixture gives the region its colour.
    rock_mix
        Mean share of the second rock spectrum.
    hillslope
        Drained area below which slopes are straight: larger gives broader valleys.
    vegetation_line
        Height below the equilibrium line at which plants cover half the ground, as a
        share of the relief; `vegetation_cover` is the most they cover.
    forest
        Share of forest among the lowest vegetation.
    ice_share, debris_share, lake_share
        Shares of the scene that all ice, debris-covered ice and lakes aim at.
    """

    name: str
    title: str
    crs: str
    longitude: float
    latitude: float
    datetime: str
    sun_azimuth: float
    sun_elevation: float
    equilibrium_line: float
    relief: float
    creep: float
    hillslope: float
    roughness: float
    steepness: float
    rock: tuple[str, str]
    rock_mix: float
    vegetation_line: float
    vegetation_cover: float
    forest: float
    ice_share: float
    debris_share: float
    lake_share: float


_ROWS = (
    Region(
        name="poiqu",
        title="Synthetic teaching scene in the manner of the Poiqu basin",
        crs="EPSG:32645",
        longitude=86.0,
        latitude=28.2,
        datetime="2022-10-12T04:57:00Z",
        sun_azimuth=149.3,
        sun_elevation=49.6,
        equilibrium_line=5750.0,
        relief=2200.0,
        creep=1.2,
        hillslope=10.0,
        roughness=0.22,
        steepness=0.5,
        rock=("rock_brown", "rock_pale"),
        rock_mix=0.35,
        vegetation_line=0.5,
        vegetation_cover=0.45,
        forest=0.0,
        ice_share=0.27,
        debris_share=0.085,
        lake_share=0.014,
    ),
    Region(
        name="montblanc",
        title="Synthetic teaching scene in the manner of the Mont Blanc massif",
        crs="EPSG:32632",
        longitude=6.9,
        latitude=45.9,
        datetime="2022-08-27T10:30:00Z",
        sun_azimuth=154.2,
        sun_elevation=51.6,
        equilibrium_line=2950.0,
        relief=2500.0,
        creep=0.7,
        hillslope=7.0,
        roughness=0.3,
        steepness=0.5,
        rock=("rock_grey", "rock_dark"),
        rock_mix=0.3,
        vegetation_line=0.24,
        vegetation_cover=0.95,
        forest=0.7,
        ice_share=0.29,
        debris_share=0.06,
        lake_share=0.009,
    ),
)

#: Every region by name.
REGIONS: Mapping[str, Region] = {row.name: row for row in _ROWS}
