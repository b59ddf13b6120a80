"""What one user sees and does, without a word about how it looks: testable headless."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import param
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, Geometry, box

from cryonet.errors import CryonetError, GridError
from cryonet.grid import Window
from cryonet.progress import Progress
from cryonet.remarks import prediction_remarks
from dashboards.jobs import Job
from dashboards.project import Model, Project
from dashboards.results import AreaRow, LatLon, Result, area_rows, label_areas, show, write_pictures

#: South, west, north, east in degrees.
Bounds = tuple[float, float, float, float]

#: What inference runs on.
AREAS = {"Current view": "view", "Drawn rectangle": "rectangle"}

#: Runs of one user whose maps are kept; the oldest goes first.
KEPT_RUNS = 5


def window_of(geobox: GeoBox, bounds: Bounds) -> Window:
    """Return the pixels of `geobox` that a rectangle in degrees covers, cut at its edges.

    Raises
    ------
    GridError
        If they do not meet.
    """
    # Cut in degrees first: a map of the whole world has no place on a UTM grid.
    scene = bounds_of(geobox)
    south, west = max(bounds[0], scene[0]), max(bounds[1], scene[1])
    north, east = min(bounds[2], scene[2]), min(bounds[3], scene[3])
    window = None
    if south < north and west < east:
        window = _pixels(geobox, box(west, south, east, north, "EPSG:4326"))
    if window is None:
        raise GridError(
            "the area lies outside the scene",
            f"{bounds[0]:.3f} to {bounds[2]:.3f} N, {bounds[1]:.3f} to {bounds[3]:.3f} E",
            "Move the map, or draw a rectangle on the image.",
        )
    return window


def _pixels(geobox: GeoBox, shape: Geometry) -> Window | None:
    # Edges are cut into many pieces: a straight parallel is curved on another grid.
    box_there = shape.to_crs(geobox.crs, resolution=shape.boundingbox.span_x / 50).boundingbox
    left, top = ~geobox.transform * (box_there.left, box_there.top)
    right, bottom = ~geobox.transform * (box_there.right, box_there.bottom)
    height, width = int(geobox.shape[0]), int(geobox.shape[1])
    cols = sorted(min(max(round(edge), 0), width) for edge in (left, right))
    rows = sorted(min(max(round(edge), 0), height) for edge in (top, bottom))
    if rows[0] == rows[1] or cols[0] == cols[1]:
        return None
    return Window(rows[0], cols[0], rows[1] - rows[0], cols[1] - cols[0])


def bounds_of(geobox: GeoBox) -> Bounds:
    """Return south, west, north, east of a grid in degrees."""
    found: BoundingBox = geobox.geographic_extent.boundingbox
    return (found.bottom, found.left, found.top, found.right)


def duration(seconds: float) -> str:
    """Return a length of time in words: ``8 s``, ``3 min``."""
    return f"{max(seconds, 1):.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class MapPage(param.Parameterized):
    """One user's page: what the map shows, and the run in progress."""

    base = param.String(doc="Name of the base image's tiles.")
    prediction_on = param.Boolean(default=True)
    prediction_opacity = param.Number(default=0.6, bounds=(0, 1))
    labels_on = param.Boolean(default=False)
    labels_opacity = param.Number(default=1.0, bounds=(0, 1))
    confidence_on = param.Boolean(default=False)
    confidence_opacity = param.Number(default=0.9, bounds=(0, 1))

    view = param.Tuple(default=None, allow_None=True, length=4, doc="Bounds the map shows.")
    narrow = param.Boolean(default=False, doc="Whether the screen has no room for a sidebar.")
    rectangle = param.Tuple(default=None, allow_None=True, length=4, doc="Bounds drawn.")
    area = param.Selector(default="view", objects=list(AREAS.values()))
    cursor = param.Tuple(default=None, allow_None=True, length=2, doc="Latitude, longitude.")

    results = param.List(default=[], doc="Finished maps, the one opened with first.")
    shown = param.Parameter(doc="The result on the map, or None.")

    active = param.Boolean(default=False, doc="Whether a run is queued or going on.")
    share = param.Number(default=0.0, bounds=(0, 1), doc="Finished share of the run.")
    status = param.String(doc="One line about the run.")
    error = param.String(doc="What went wrong, or empty.")

    def __init__(self, project: Project, **values: Any) -> None:
        self.project = project
        self._job: Job | None = None
        self._runs = 0
        self._folder = tempfile.TemporaryDirectory(prefix="cryonet-session-")
        opened = project.opened
        values.setdefault("base", next(iter(project.bases.values())))
        values.setdefault("view", bounds_of(project.geobox))
        values.setdefault("status", opened.note if opened else "")
        super().__init__(**values)
        self.results = [opened] if opened else []
        self.shown = opened

    @property
    def model(self) -> Model | None:
        """The model that runs, if the server has one."""
        return self.project.model

    @property
    def has_labels(self) -> bool:
        """Whether the scene has labels to show."""
        return "labels" in self.project.scene

    def window(self) -> Window:
        """Return the pixels that a run would map.

        Raises
        ------
        GridError
            If no rectangle is drawn, or the area lies outside the scene.
        """
        bounds = self.view if self.area == "view" else self.rectangle
        if bounds is None:
            raise GridError(
                "no rectangle is drawn", "none", "Draw one with the square button on the map."
            )
        return window_of(self.project.geobox, bounds)

    def extent(self) -> str:
        """Return the size of the area a run would map, or why there is none."""
        try:
            window = self.window()
        except GridError as error:
            return error.rule
        cell = abs(self.project.geobox.resolution.x) / 1000
        return f"{window.width * cell:.1f} × {window.height * cell:.1f} km"

    def areas(self) -> tuple[AreaRow, ...]:
        """Return the table of areas of the result on the map; of the labels without one."""
        if isinstance(self.shown, Result):
            return self.shown.areas
        return area_rows(None, label_areas(self.project.scene, self.project.whole))

    def outline(self) -> tuple[LatLon, ...]:
        """Return the edge of the result on the map, where it says something.

        Not round the whole scene, and not where the drawn rectangle is that edge.
        """
        if not isinstance(self.shown, Result) or self.shown.window == self.project.whole:
            return ()
        if self.rectangle is not None:
            try:
                if window_of(self.project.geobox, self.rectangle) == self.shown.window:
                    return ()
            except GridError:
                pass
        return self.shown.outline

    def draw(self, bounds: Bounds) -> None:
        """Take a rectangle the user has drawn."""
        self.param.update(rectangle=bounds, area="rectangle", error="")

    def run(self) -> None:
        """Start mapping the chosen area in the background."""
        if self.active or self.model is None:
            return
        try:
            window = self.window()
        except CryonetError as error:
            self.error = str(error)
            return
        self._runs += 1
        title, predict = f"Run {self._runs}", self.model.predict
        folder = Path(self._folder.name) / f"run-{self._runs}"
        project = self.project

        def work(progress: Progress) -> Result:
            progress.step(0, 0, "preparing")
            found = predict(project.scene, window, progress)
            folder.mkdir()
            return show(
                write_pictures(found, folder),
                project.scene,
                window,
                project.store,
                title=title,
                note=" ".join(prediction_remarks(found.attrs)),
            )

        self._job = project.queue.submit(work)
        self.param.update(active=True, share=0.0, error="", status="Preparing the layers")

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self._job is not None:
            self.project.queue.cancel(self._job)
            self.poll()

    def poll(self) -> None:
        """Bring the page up to date with the run; call it a few times a second."""
        job = self._job
        if job is None:
            return
        if not job.over:
            self.param.update(share=min(job.share, 1.0), status=self._describe(job))
            return
        self._job = None
        if job.state == "done":
            self._keep(job.result)
        note = job.result.note if isinstance(job.result, Result) else ""
        said = {"done": note, "cancelled": "Cancelled; the map is unchanged.", "failed": ""}
        self.param.update(active=False, share=0.0, status=said.get(job.state, ""), error=job.error)

    def close(self) -> None:
        """End the session: stop its run, drop its pictures and files."""
        job, self._job = self._job, None
        if job is not None and not job.over:
            self.project.queue.cancel(job)
        if job is None or job.over:
            self._clean(job)
        else:
            # The worker may still be writing a tile's worth; nobody else waits for that.
            threading.Thread(target=self._clean, args=(job,), daemon=True).start()

    def _clean(self, job: Job | None) -> None:
        if job is not None and job.wait() and isinstance(job.result, Result):
            self._drop(job.result)
        for result in self.results:
            self._drop(result)
        self._folder.cleanup()

    def _describe(self, job: Job) -> str:
        before = self.project.queue.position(job)
        if job.cancelling:
            return "Cancelling after this tile"
        if before:
            return f"Waiting: {before} {'run' if before == 1 else 'runs'} before yours"
        if not job.total:
            return "Preparing the layers"
        text = f"{job.done} of {job.total} tiles"
        left = job.seconds_left()
        return text if left is None else f"{text}, about {duration(left)} left"

    def _keep(self, result: Result) -> None:
        own = [r for r in self.results if r is not self.project.opened]
        for old in own[: max(0, len(own) + 1 - KEPT_RUNS)]:
            self._drop(old)
            self.results = [r for r in self.results if r is not old]
        self.results = [*self.results, result]
        self.param.update(shown=result, prediction_on=True)

    def _drop(self, result: Result) -> None:
        if result is not self.project.opened:
            self.project.store.remove(result.classes)
            self.project.store.remove(result.confidence)
