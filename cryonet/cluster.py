"""The dask cluster that predictions are computed on: one that stands, or one on this machine."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, Nanny, Scheduler, Security, SpecCluster

from cryonet.cluster_rows import Workshop
from cryonet.cluster_worker import Block, BlockRows, Station, device_here, work
from cryonet.errors import ConfigError
from cryonet.runner import pick_device

#: The name of a cluster that is started on this machine.
LOCAL = "local"

#: Seconds within which a scheduler answers.
PATIENCE = 20

#: Threads of a worker on this machine, if there are so many cores: more help a network little.
THREADS = 4

#: Nothing is kept by a worker but the block it works on: there is nothing to spill, and a worker
#: that holds a large model must not be stopped for it. No page of the scheduler's is served.
_QUIET = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


#: Ctrl-C reaches every process of a terminal: only this one answers it, and ends its workers.
_DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"


@dataclass(frozen=True, slots=True)
class Machine:
    """How a cluster on this machine is made up.

    Attributes
    ----------
    workers
        Processes.
    threads
        Of torch in each.
    gpus
        Names of the GPUs that they are shared out over, as ``CUDA_VISIBLE_DEVICES`` has them;
        empty for the CPU.
    """

    workers: int
    threads: int
    gpus: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{len(self.gpus)} GPUs" if self.gpus else "the CPU"
        return f"{self.workers} workers of {self.threads} threads on {where}"


def make_up(
    device: str = "auto",
    *,
    workers: int | None = None,
    threads: int | None = None,
    cores: int = CPU_COUNT,
    gpus: tuple[str, ...] | None = None,
) -> Machine:
    """Return how a cluster on this machine is made up: a process a GPU, or processes on the CPU.

    Parameters
    ----------
    device
        auto, cpu or cuda.
    workers, threads
        As asked for. By default a process has four threads, or as many as there are cores, or
        of the cores what falls to each GPU.
    cores, gpus
        Of this machine.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    if pick_device(device).type != "cuda":
        gpus = ()
    elif gpus is None:
        gpus = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    each = threads or max(1, min(THREADS, cores) if workers is None else cores // workers)
    count = workers or len(gpus) or max(1, cores // each)
    return Machine(count, threads or max(1, min(each, cores // count)), gpus)


def visible_gpus(stated: str | None) -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use; `stated` are those of a user."""
    if stated:
        return tuple(name.strip() for name in stated.split(",") if name.strip())
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


@dataclass(frozen=True, slots=True)
class Cluster:
    """Workers that are ready for blocks.

    Attributes
    ----------
    workshop
        Gives blocks out.
    about
        What it is, for messages.
    """

    workshop: Workshop
    about: str
    _client: Client

    def device(self, name: str) -> str:
        """Return the kind of device that all workers take for ``auto``, ``cpu`` or ``cuda``.

        Waits for the first worker.

        Raises
        ------
        ConfigError
            If workers take different ones, or have none.
        """
        self._client.submit(device_here, name, pure=False).result()
        found = sorted(set(self._client.run(device_here, name).values()))
        if len(found) > 1:
            rule = "Give the device: cpu or cuda."
            raise ConfigError("the workers have different devices", ", ".join(found), rule)
        return str(found[0])


@contextmanager
def open_cluster(
    scheduler: str, *, device: str = "auto", workers: int | None = None, threads: int | None = None
) -> Iterator[Cluster]:
    """Give a cluster for the ``with`` statement; one that was started for it is closed.

    Parameters
    ----------
    scheduler
        The address of a scheduler, the file that one wrote (``--scheduler-file``), or ``local``
        for processes on this machine, which talk over loopback, encrypted with keys that only
        they have.
    device
        What workers on this machine compute on: see `make_up`.
    workers, threads
        Processes on this machine, and threads of torch in each worker; on a cluster that stands,
        those that dask gave it by default.

    Raises
    ------
    ConfigError
        If no scheduler answers, its workers do not have cryonet, or workers are asked for of a
        cluster that stands.
    """
    name = f"cryonet-{uuid.uuid4().hex}"
    with ExitStack() as stack:
        if scheduler == LOCAL:
            machine = make_up(device, workers=workers, threads=threads)
            client = stack.enter_context(_local(machine))
            threads, about = machine.threads, f"{machine}"
        elif workers is not None:
            rule = f"Only {LOCAL} workers can be started; those of {scheduler} are there."
            raise ConfigError("the number of workers cannot be chosen", workers, rule)
        else:
            client = stack.enter_context(_connected(scheduler))
            about = f"the cluster at {scheduler}"
        try:
            client.register_plugin(Station(name, threads=threads), name=name)
        except Exception as error:
            rule = f"Install the same cryonet there. They say: {type(error).__name__}: {error}."
            raise ConfigError("the workers do not have cryonet", scheduler, rule) from error
        stack.callback(_leave, client, name)
        yield _ready(client, name, about)


def _ready(client: Client, name: str, about: str) -> Cluster:
    executor = client.get_executor(pure=False)

    def submit(block: Block) -> Future[BlockRows]:
        given: Future[BlockRows] = executor.submit(work, name, block)
        return given

    workshop = Workshop(submit, lambda: len(client.nthreads()))
    client.subscribe_topic(name, lambda event: workshop.hear(event[1]))
    return Cluster(workshop, about, client)


def _leave(client: Client, name: str) -> None:
    """Take the station from the workers: what they still work on stops."""
    # From a cluster that is gone there is nothing to take.
    with suppress(Exception):
        client.unsubscribe_topic(name)
        client.unregister_worker_plugin(name)


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    known = Path(scheduler)
    place = {"scheduler_file": scheduler} if known.is_file() else {"address": scheduler}
    try:
        client = Client(**place, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        rule = (
            f"Give its address, as tcp://host:8786, the file it wrote, or {LOCAL}. {error}".strip()
        )
        raise ConfigError("no scheduler answers", scheduler, rule) from error
    with client:
        yield client


@contextmanager
def _local(machine: Machine) -> Iterator[Client]:
    """Start workers on this machine, and a scheduler that only they can talk to."""
    security = Security.temporary()
    common: dict[str, Any] = {
        "protocol": "tls://",
        "host": "127.0.0.1",
        "security": security,
        "dashboard": False,
    }
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="cryonet-dask-"))
        stack.enter_context(dask.config.set(_QUIET))
        own = {
            # Threads are torch's: to dask a worker does one thing at a time.
            "nthreads": 1,
            "memory_limit": 0,
            "local_directory": scratch,
            "silence_logs": logging.ERROR,
            "preload": [_DEAF],
            **common,
        }
        specs = {
            number: {"cls": Nanny, "options": own | {"env": _env(machine, number)}}
            for number in range(machine.workers)
        }
        cluster = stack.enter_context(
            SpecCluster(
                # Any free port, where nothing is served: the usual one may be taken.
                scheduler={"cls": Scheduler, "options": common | {"dashboard_address": ":0"}},
                workers=specs,
                security=security,
                silence_logs=logging.ERROR,
            )
        )
        yield stack.enter_context(Client(cluster, timeout=PATIENCE, set_as_default=False))


def _env(machine: Machine, number: int) -> dict[str, str]:
    if not machine.gpus:
        return {}
    return {"CUDA_VISIBLE_DEVICES": machine.gpus[number % len(machine.gpus)]}
