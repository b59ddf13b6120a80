"""Opens hostile files one after the other, as a user would, and tells what came of it.

Run as a program: reads one JSON object a line (``opener``, ``path``, ``out``), writes one
(see `tried`). Python's own sockets are closed to it; GDAL's are not, the caller listens.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryonet.bundle import load_bundle
from cryonet.errors import CryonetError
from cryonet.insar_scene import add_insar
from cryonet.scene import open_scene
from cryonet.sources.local import import_scene

#: Room for a file that swells, so that it harms this process alone.
ROOM = 4 * 2**30

STATED = {"scale": 1e-4, "offset": 0}


def openers(good: Mapping[str, str]) -> dict[str, Callable[[Any, str], object]]:
    """The public ways in, by name; `good` holds an honest raster and scene."""
    red = {"red": good["raster"]}
    return {
        "raster": lambda path, out: import_scene(out, {"red": path}, **STATED),
        "dem": lambda path, out: import_scene(out, {}, dem=path),
        "labels": lambda path, out: import_scene(out, red, labels={"lake": path}, **STATED),
        "metadata": lambda path, out: import_scene(out, red, metadata=path),
        "insar": lambda path, out: add_insar(good["scene"], path, overwrite=True),
        "scene": lambda path, out: open_scene(path),
        "bundle": lambda path, out: load_bundle(path),
    }


def memory(key: str) -> int:
    """Bytes of resident memory: ``VmRSS`` now, ``VmHWM`` at most since `reset`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system does not tell {key}")


def reset() -> None:
    """Begin the highest resident memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def tried(open_it: Callable[[Any, str], object], path: Any, out: str) -> dict[str, Any]:
    """What came of opening `path`: seconds of processor, bytes more than before, the error."""
    reset()
    reached.clear()
    before, began = memory("VmRSS"), time.process_time()
    found: dict[str, Any] = {"end": "opened"}
    try:
        open_it(path, out)
    except CryonetError as error:
        found = {"end": "refused", "parts": [error.what, str(error.value), error.rule]}
    except BaseException as error:
        found = {"end": f"{type(error).__name__}: {error}"[:300]}
    found |= {"seconds": time.process_time() - began, "bytes": memory("VmHWM") - before}
    return found | {"reached": list(reached)}


#: What tried to reach out of this process.
reached: list[str] = []


def closed(*args: Any, **_: Any) -> Any:
    """Stand in for what opens a connection. Libraries may swallow the error, not the record."""
    reached.append(repr(args)[:200])
    raise OSError("sockets are closed")


def main() -> None:
    good = json.loads(sys.argv[1])
    ways = openers(good)
    # What is imported at first use is not the file's fault.
    load_bundle(good["bundle"])
    ways["labels"](good["outlines"], good["out"])
    ways["scene"](good["out"], "")
    add_insar(good["out"], good["pair"].split("|"))
    socket.socket.connect = socket.socket.connect_ex = closed  # type: ignore[method-assign]
    socket.getaddrinfo = socket.create_connection = closed
    used = memory("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    warnings.simplefilter("error")
    # The two that the project's own settings let pass.
    warnings.filterwarnings("ignore", "Use `@` matmul", PendingDeprecationWarning)
    warnings.filterwarnings("ignore", "The 'shapely.ops.transform", DeprecationWarning)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = tried(ways[asked["opener"]], asked["path"], asked["out"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
