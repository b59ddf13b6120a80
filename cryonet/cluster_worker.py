"""What a worker of a dask cluster does: blocks of a scene's prediction, one at a time."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from distributed import WorkerPlugin, get_worker

from cryonet.bundle import Bundle, load_bundle
from cryonet.errors import CryonetError
from cryonet.file_hash import folder_fingerprints
from cryonet.manifest import Manifest
from cryonet.passport import package_versions
from cryonet.prediction_rows import OwnRows, PredictionRows
from cryonet.progress import Cancelled
from cryonet.runner import pick_device
from cryonet.scene_passes import PassOptions, scene_passes

#: Scenes that a worker keeps open: blocks of the next one come while the last are finished.
OPEN_SCENES = 2

#: Seconds between two reports of a block.
REPORT = 0.5

_SHARED = "Client and workers need the same files under the same names: a shared file system."


@dataclass(frozen=True, slots=True)
class Order:
    """A prediction as workers are told of it.

    Attributes
    ----------
    bundles
        For each model its folder and the hash of its manifest (`manifest_hash`), which holds that
        of the weights.
    scene
        The scene's folder.
    files
        Its files, and their fingerprints (`cryonet.file_hash.folder_fingerprints`).
    options
        How the models go over it; the device is settled.
    versions
        Of the packages that the pixels hang on.
    """

    bundles: tuple[tuple[str, str], ...]
    scene: str
    files: tuple[tuple[str, str], ...]
    options: PassOptions
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one prediction, from the top of a strip to the end of one: a task of a worker."""

    number: int
    order: Order
    rows: range


@dataclass(frozen=True, slots=True)
class BlockRows:
    """What a worker gives back: rows, and for each model how many windows memory held at once."""

    rows: PredictionRows
    held: list[int | None]


def make_order(
    bundles: Sequence[tuple[Path, Manifest]], scene: Path, options: PassOptions
) -> Order:
    """Return the order to predict a scene with the models in some folders.

    Parameters
    ----------
    options
        As the user gave them, but for the device, which is settled.
    """
    return Order(
        tuple((str(folder.absolute()), manifest_hash(manifest)) for folder, manifest in bundles),
        str(scene.absolute()),
        tuple(folder_fingerprints(scene).items()),
        options,
        tuple(package_versions().items()),
    )


def manifest_hash(manifest: Manifest) -> str:
    """Return a hash of a model's manifest."""
    return hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()


class Station(WorkerPlugin):  # type: ignore[misc]
    """A worker's place of work for one run: the models it has loaded, the scenes it has open.

    Parameters
    ----------
    name
        Of the run: under it workers know the station, and tell how far blocks are.
    threads
        Threads of torch; by default those that the dask worker has.
    """

    def __init__(self, name: str, *, threads: int | None = None) -> None:
        self.name, self.threads = name, threads

    def setup(self, worker: Any) -> None:
        """Begin, as dask wants it."""
        self.begin(worker.state.nthreads, lambda told: worker.log_event(self.name, told))

    def teardown(self, worker: Any) -> None:
        """End: a block that is being worked on stops at its next batch, then files are closed."""
        self._ended.set()
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    def begin(self, threads: int, tell: Callable[[Mapping[str, Any]], None]) -> None:
        """Make ready for blocks; `tell` reports of them."""
        self._tell = tell
        self._models: dict[str, Bundle] = {}
        self._open: OrderedDict[Order, tuple[ExitStack, OwnRows]] = OrderedDict()
        self._ended = threading.Event()
        # Models and open files are not for several threads, nor are rasterio's files closed by
        # another one than opened them; and OpenMP keeps the number of threads thread by thread.
        self._thread = ThreadPoolExecutor(
            1, "blocks", initializer=torch.set_num_threads, initargs=(self.threads or threads,)
        )

    def rows(self, block: Block) -> BlockRows:
        """Return the rows of a block; one after another if several are asked for.

        Raises
        ------
        CryonetError
            If this worker sees other files or has other packages than the client.
        Cancelled
            If the run has ended.
        """
        work = self._thread.submit(self._rows, block)
        error = work.exception()
        if isinstance(error, CryonetError):
            # Without its causes: of GDAL's some do not survive the way to another process.
            value = error.value if isinstance(error.value, str) else repr(error.value)
            raise type(error)(error.what, value, error.rule)
        return work.result()

    def _rows(self, block: Block) -> BlockRows:
        told = _Told(block.number, self._tell, self._ended)
        told.check()
        own = self._opened(block.order)
        rows = own.block(block.rows, told)
        return BlockRows(rows, [one.attrs.get("batch_held") for one in own.passes])

    def _close(self) -> None:
        while self._open:
            self._open.popitem()[1][0].close()
        self._models.clear()

    def _opened(self, order: Order) -> OwnRows:
        if order not in self._open:
            check_order(order)
            models = [self._model(*known) for known in order.bundles]
            if len(self._open) == OPEN_SCENES:
                self._open.popitem(last=False)[1][0].close()
            with ExitStack() as stack:
                passes = stack.enter_context(scene_passes(models, order.scene, order.options))
                self._open[order] = (stack.pop_all(), OwnRows(passes, ahead=1))
        self._open.move_to_end(order)
        return self._open[order][1]

    def _model(self, folder: str, known: str) -> Bundle:
        if known not in self._models:
            model = load_bundle(folder)
            if manifest_hash(model.manifest) != known:
                raise CryonetError("a worker finds another bundle", _here(folder), _SHARED)
            self._models[known] = model
        return self._models[known]


class _Told:
    """Progress of a block: reported now and then, and stopped when the run has ended."""

    def __init__(
        self, number: int, tell: Callable[[Mapping[str, Any]], None], ended: threading.Event
    ) -> None:
        self._number, self._tell, self._ended = number, tell, ended
        self._first: int | None = None
        self._last = 0.0

    def check(self) -> None:
        if self._ended.is_set():
            raise Cancelled("the run has ended")

    def step(self, done: int, total: int, message: str = "") -> None:
        self.check()
        # What lies above a block counts as done already.
        self._first = done if self._first is None else self._first
        if time.monotonic() - self._last >= REPORT:
            self._last = time.monotonic()
            self._tell({"block": self._number, "done": done - self._first})


def check_order(order: Order) -> None:
    """Refuse an order that was given by another version, or with other files under the names.

    Raises
    ------
    CryonetError
        Naming what differs, and this machine.
    """
    own = package_versions()
    differ = [f"{name} {own.get(name)}, not {told}" for name, told in order.versions
              if own.get(name) != told]  # fmt: skip
    if differ:
        rule = "Install the same versions on client and workers: pixels may differ."
        raise CryonetError("a worker has other versions", _here(", ".join(differ)), rule)
    for folder, _ in order.bundles:
        if not Path(folder).is_dir():
            raise CryonetError("a worker cannot read the bundle", _here(folder), _SHARED)
    if not Path(order.scene).exists():
        raise CryonetError("a worker cannot read the scene", _here(order.scene), _SHARED)
    found = folder_fingerprints(order.scene)
    other = [name for name, known in order.files if found.get(name) != known]
    if other:
        where = _here(f"{order.scene}: {', '.join(other)}")
        raise CryonetError("a worker finds another scene", where, _SHARED)


def _here(value: str) -> str:
    return f"{value} (on {socket.gethostname()})"


def work(station: str, block: Block) -> BlockRows:
    """Return the rows of a block; run by dask on a worker."""
    found: BlockRows = get_worker().plugins[station].rows(block)
    return found


def device_here(name: str) -> str:
    """Return which kind of device a worker takes for ``auto``, ``cpu`` or ``cuda``."""
    return str(pick_device(name))
