"""What to load of a catalogue for a scene: candidates looked at, ranked and chosen."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cryonet.errors import CryonetError, GridError, SceneError
from cryonet.progress import SILENT, Progress
from cryonet.scene import BANDS
from cryonet.sources.acquisition import Acquisition, Candidate, group_items, rank
from cryonet.sources.area import Area, area_grid, find_area
from cryonet.sources.catalogue import Catalogue, find_catalogue, search_dem, search_images
from cryonet.sources.checks import check_reflectance, remark_on_floor
from cryonet.sources.patience import Patience
from cryonet.sources.remote import Reader, Remote, remote_dem, remote_image
from cryonet.sources.scaling import Scaling
from cryonet.sources.scene_classes import cover_of, usable
from cryonet.sources.warp import Method, plan_route, record

Mask = NDArray[np.bool_]

#: The bands of 10 and 20 m: what feature layers need. Those of 60 m tell of the air.
OPTICAL = tuple(band for band in BANDS if band not in ("coastal", "nir09"))

#: Largest side, in pixels, of the small picture by which candidates are looked at. Its pixels
#: are 20 m, doubled until it fits: those of the files' overviews.
LOOK = 256

#: A pass is worth loading if it is the first to show this share of the area.
WORTH = 0.005


class Order(BaseModel):
    """What scene is wanted, and from where.

    Attributes
    ----------
    area
        Where, and the months without snow.
    first, last
        Days of the images, both counted.
    catalogue
        Where to look.
    max_cloud
        Share of cloud and its shadow, 0 to 1, above which a pass is not used.
    resolution
        Pixel side of the scene, m.
    composite
        ``best``: each pixel of the best pass that shows it. ``median``: of each band, over
        the best `images` passes that show it.
    scale, offset
        Reflectance = number × scale + offset, in place of what the items state.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    area: Area
    first: date
    last: date
    catalogue: Catalogue
    max_cloud: float = Field(0.3, ge=0, le=1)
    resolution: float = Field(10.0, gt=0, allow_inf_nan=False)
    composite: Literal["best", "median"] = "best"
    images: int = Field(5, ge=2, le=50)
    scale: float | None = Field(None, gt=0, allow_inf_nan=False)
    offset: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first > self.last:
            pair = f"{self.first}/{self.last}"
            raise SceneError("the days are not in order", pair, "Write the first day first.")
        if (self.scale is None) != (self.offset is None):
            pair = f"scale {self.scale}, offset {self.offset}"
            raise SceneError("half a scale is stated", pair, "State both scale and offset.")
        return self

    @property
    def stated(self) -> Scaling | None:
        """Scale and offset as the user states them."""
        if self.scale is None or self.offset is None:
            return None
        return Scaling(self.scale, self.offset, "stated")

    @property
    def grid(self) -> GeoBox:
        """The scene's grid."""
        return area_grid(self.area, resolution=self.resolution)


def order_scene(
    area: str | Path | None = None,
    *,
    box: Sequence[float] | None = None,
    days: str,
    months: str | None = None,
    catalogue: str = "earth-search",
    **options: Any,
) -> Order:
    """Return an order from words.

    Parameters
    ----------
    area, box
        See `cryonet.sources.area.find_area`.
    days
        First and last day: ``2023-10-01/2023-11-30``.
    months
        Those in which the ground is free of snow, ``10,11``; by default the area's.
    catalogue
        A name of `cryonet.sources.catalogue.CATALOGUES`, or the address of a STAC API.
    options
        See `Order`.

    Raises
    ------
    SceneError
        If one of them cannot be understood.
    """
    first, last = parse_days(days)
    where = find_area(area, box=box, months=parse_months(months))
    found = find_catalogue(catalogue)
    try:
        return Order(area=where, first=first, last=last, catalogue=found, **options)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = ".".join(str(part) for part in wrong["loc"])
        raise SceneError(
            f"the {name} cannot be used", wrong["input"], f"{wrong['msg']}."
        ) from error


def parse_months(text: str | None) -> list[int] | None:
    """Return the months written ``10,11``, None if nothing is."""
    return None if text is None else [int(number) for number in re.findall(r"\d+", text)]


def parse_days(text: str) -> tuple[date, date]:
    """Return the first and last day of a span written ``2023-10-01/2023-11-30``.

    Raises
    ------
    SceneError
        If it is written otherwise.
    """
    try:
        first, last = (date.fromisoformat(part.strip()) for part in text.split("/"))
    except ValueError as error:
        raise SceneError("the days are no span", text, "Write 2023-10-01/2023-11-30.") from error
    return first, last


@dataclass(slots=True)
class Plan:
    """What to load.

    Attributes
    ----------
    order
        What was wanted.
    candidates
        Every pass over the area in that time, the best first.
    chosen
        Which of them are loaded, by place in `candidates`, the best first.
    images
        Their items, in the same order.
    dem
        Items of the DEM.
    warps, remarks
        For the scene's record.
    """

    order: Order
    candidates: list[Candidate]
    chosen: list[int]
    images: list[list[Remote]]
    dem: list[Remote]
    warps: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def acquisitions(self) -> list[Acquisition]:
        """The passes that are loaded, the best first."""
        return [self.candidates[place].acquisition for place in self.chosen]


def make_plan(
    order: Order, *, patience: Patience | None = None, progress: Progress = SILENT
) -> Plan:
    """Return what to load for an order, having looked at every candidate.

    Of each pass the scene classification is read over the area, coarsely; of those chosen
    all bands, too, to see whether their numbers can be what the items say.

    Raises
    ------
    SceneError
        If the catalogue does not answer or has nothing that fits, or an item's files are
        not what it says.
    """
    patience = patience or Patience()
    progress.step(0, 1, f"asking {order.catalogue.title}")
    box, catalogue = order.area.box, order.catalogue
    items = search_images(catalogue, box, order.first, order.last, patience=patience)
    dem = [remote_dem(item) for item in search_dem(catalogue, box, patience=patience)]
    passes = group_items(items, collections=catalogue.images)
    look = _Look(order, patience, progress, total=len(passes))
    west, south, east, north = box
    middle = ((west + east + (360 if east < west else 0)) / 2, (south + north) / 2)
    seen = look.at(passes)
    candidates = rank(
        [(acquisition, cover_of(codes)) for acquisition, codes in seen],
        months=order.area.months,
        middle=middle,
    )
    codes = {id(acquisition): found for acquisition, found in seen}
    clear = [usable(codes[id(candidate.acquisition)]) for candidate in candidates]
    chosen = _choose(order, candidates, clear)
    images = [look.images[id(candidates[place].acquisition)] for place in chosen]
    plan = Plan(order, candidates, chosen, [], dem, [], look.remarks)
    for remotes in images:
        plan.images.append([remote for remote in remotes if look.inspect(plan, remote)])
    plan.remarks += _uncovered(order, [clear[place] for place in chosen])
    return plan


class _Look:
    """Looks at candidates coarsely."""

    def __init__(self, order: Order, patience: Patience, progress: Progress, total: int) -> None:
        self.target = order.grid
        span = max(self.target.shape) * order.resolution
        side = 20.0 * 2 ** math.ceil(max(math.log2(span / LOOK / 20), 0))
        self.grid = self.target.zoom_to(resolution=max(side, order.resolution))
        self._stated = order.stated
        self.images: dict[int, list[Remote]] = {}
        self.remarks: list[str] = []
        self._progress, self._total, self._done = progress, total, 0
        self._reader = Reader(patience, tell=self._tell)

    def _tell(self, text: str) -> None:
        self._progress.step(self._done, self._total, text)

    def at(self, passes: Sequence[Acquisition]) -> list[tuple[Acquisition, NDArray[np.uint8]]]:
        """Return the scene classification over the area, of each pass that can be read."""
        found = []
        for self._done, acquisition in enumerate(passes):
            self._tell(f"clouds of {acquisition.name}")
            codes = np.zeros(tuple(self.grid.shape), np.uint8)
            self.images[id(acquisition)] = remotes = self._remotes(acquisition)
            for remote in remotes:
                more = self._reader.read(remote, self.grid, {"scl": "nearest"})["scl"]
                codes = np.where(codes == 0, more, codes)
            if remotes:
                found.append((acquisition, codes))
        if not found:
            rule = "Choose other days or another catalogue."
            raise SceneError("no image can be used", "; ".join(self.remarks), rule)
        return found

    def _remotes(self, acquisition: Acquisition) -> list[Remote]:
        remotes = []
        for item in acquisition.items:
            try:
                remotes.append(remote_image(item, OPTICAL, stated=self._stated))
            except CryonetError as error:
                self.remarks.append(f"left out {item.id}: {error}")
        return remotes

    def inspect(self, plan: Plan, remote: Remote) -> bool:
        """Check that the numbers of an item's bands can be reflectance; note their warps.

        Of a pass there are tiles that only touch the area's box: False for them.
        """
        self._tell(f"looking at {remote.item.id}")
        routes = {}
        for name in (*OPTICAL, "scl"):
            own = self._reader.grid_of(remote, name)
            try:
                route = plan_route(own, self.target, variable=name, what=remote.item.id)
            except GridError:
                return False
            if name == "scl":  # codes have no values between them
                route = replace(route, method="nearest")
            routes[name] = route.method
            file = f"{remote.item.id}/{name}"
            step = record(route, own, self.target, variable=name, file=file, band=1)
            plan.warps.append(step.as_dict())
        coarse: dict[str, Method] = dict.fromkeys(routes, "nearest")
        numbers = self._reader.read(remote, self.grid, coarse)
        clear = usable(numbers.pop("scl"))
        darkest = {}
        for name, values in numbers.items():
            known = reflectance(values[clear], remote.scaling[name])
            plan.remarks += check_reflectance(known, name=name, file=remote.item.id)
            if known.size:
                darkest[name] = float(np.nanquantile(known, 0.001))
        plan.remarks += [f"{remote.item.id}: {text}" for text in remark_on_floor(darkest)]
        return True


def reflectance(numbers: NDArray[Any], scaling: Scaling) -> NDArray[np.float32]:
    """Return the reflectance of stored numbers, NaN where they are 0, which means none."""
    values = numbers * np.float32(scaling.scale) + np.float32(scaling.offset)
    return np.where(numbers == 0, np.float32(np.nan), values).astype(np.float32)


def _choose(order: Order, candidates: Sequence[Candidate], clear: Sequence[Mask]) -> list[int]:
    """Return which candidates to load: in order of marks, while they show what none did."""
    wanted = 1 if order.composite == "best" else order.images
    seen = np.zeros(clear[0].shape, int)
    chosen = []
    for place, (candidate, mask) in enumerate(zip(candidates, clear, strict=True)):
        if candidate.cover.cloud > order.max_cloud:
            continue
        new = mask & (seen < wanted)
        if new.mean() >= WORTH:
            chosen.append(place)
            seen += mask
    if not chosen:
        least = min(candidate.cover.cloud for candidate in candidates)
        rule = "Allow more cloud, or choose other days."
        shown = f"{len(candidates)} passes, the clearest {least:.0%}, {order.max_cloud:.0%} allowed"
        raise SceneError("no pass is clear enough", shown, rule)
    return chosen


def _uncovered(order: Order, clear: Sequence[Mask]) -> list[str]:
    bare = 1 - float(np.logical_or.reduce(list(clear)).mean())
    if bare < WORTH:
        return []
    return [f"about {bare:.1%} of the area is seen clearly by none of the passes"]
