"""What a download has of a scene so far: a folder beside it that a later run goes on from."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray

from cryonet.atomic import whole_file
from cryonet.catalogue_plan import OPTICAL, Order, Plan
from cryonet.errors import SceneError
from cryonet.grid import Window
from cryonet.sources.acquisition import Acquisition, Candidate
from cryonet.sources.remote import Remote, remote_dem, remote_image
from cryonet.sources.scene_classes import Cover

_PLAN = "plan.json"

Arrays = dict[str, NDArray[Any]]


class Journal:
    """The folder ``.NAME.fetch`` beside a scene: the plan, and each window that is complete.

    A window's file appears whole, and its checksums (those of the ZIP format) are looked at
    before it is believed.
    """

    def __init__(self, scene: str | Path) -> None:
        target = Path(scene).absolute()
        self.folder = target.with_name(f".{target.name}.fetch")

    def plan(self, order: Order, *, overwrite: bool = False) -> Plan | None:
        """Return the plan of an earlier run of the same order, None if there was none.

        Parameters
        ----------
        overwrite
            Throw away what an earlier run of another order has left.

        Raises
        ------
        SceneError
            If another order's download lies there.
        """
        file = self.folder / _PLAN
        if not file.is_file():
            return None
        try:
            stored = json.loads(file.read_bytes())
            before = Order.model_validate(stored["order"])
            differ = [k for k in Order.model_fields if getattr(before, k) != getattr(order, k)]
            if not differ:
                return _restored(order, stored)
        except (ValueError, KeyError, TypeError, AttributeError, pystac.STACError):
            # A plan that cannot be read is of no use to anyone.
            self.clear()
            return None
        if overwrite:
            self.clear()
            return None
        rule = "Finish it with the options it had, or allow overwriting: it is then thrown away."
        raise SceneError("another download to this place is unfinished", ", ".join(differ), rule)

    def start(self, plan: Plan) -> None:
        """Keep a plan.

        Raises
        ------
        SceneError
            If the system refuses.
        """
        text = json.dumps(_stored(plan), indent=1)
        self._write(_PLAN, lambda work: work.write_text(text, encoding="utf-8"))

    def load(self, name: str, keys: Sequence[str] | None = None) -> Arrays | None:
        """Return the arrays kept under a name, None if there are none or they are damaged.

        Parameters
        ----------
        keys
            Which of them; all by default.
        """
        file = self.folder / f"{name}.npz"
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return {key: stored[key] for key in keys or stored.files}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
            return None

    def keep(self, name: str, arrays: Arrays) -> None:
        """Keep arrays under a name.

        Raises
        ------
        SceneError
            If the system refuses.
        """

        def write(work: Path) -> None:
            with work.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)

        self._write(f"{name}.npz", write)

    def _write(self, name: str, write: Any) -> None:
        try:
            with whole_file(self.folder / name) as work:
                write(work)
        except OSError as error:
            rule = f"The system says: {error}. What was read is kept."
            raise SceneError("a download cannot be kept", str(self.folder), rule) from error

    def clear(self) -> None:
        """Throw everything away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def window_name(window: Window) -> str:
    """Return under which name a window is kept."""
    return f"window-{window.row}-{window.col}"


def _stored(plan: Plan) -> dict[str, Any]:
    rows = [
        {
            "items": [_item(item) for item in candidate.acquisition.items],
            "sun": candidate.acquisition.sun,
            "cover": [candidate.cover.missing, candidate.cover.cloud, candidate.cover.snow],
            "height": candidate.height,
            "marks": candidate.marks,
        }
        for candidate in plan.candidates
    ]
    return {
        "order": plan.order.model_dump(mode="json"),
        "candidates": rows,
        "chosen": plan.chosen,
        "images": [[remote.item.id for remote in remotes] for remotes in plan.images],
        "dem": [_item(remote.item) for remote in plan.dem],
        "warps": plan.warps,
        "remarks": plan.remarks,
    }


def _item(item: pystac.Item) -> dict[str, Any]:
    # Hrefs as they are: to transform them pystac would follow links over the network.
    found: dict[str, Any] = item.to_dict(transform_hrefs=False)
    return found


def _restored(order: Order, stored: dict[str, Any]) -> Plan:
    candidates = []
    for row in stored["candidates"]:
        items = tuple(pystac.Item.from_dict(item) for item in row["items"])
        assert items[0].datetime is not None
        sun = None if row["sun"] is None else (row["sun"][0], row["sun"][1])
        acquisition = Acquisition(items, items[0].datetime, sun)
        candidates.append(Candidate(acquisition, Cover(*row["cover"]), row["height"], row["marks"]))
    images: list[list[Remote]] = []
    for place, names in zip(stored["chosen"], stored["images"], strict=True):
        items = candidates[place].acquisition.items
        images.append(
            [remote_image(i, OPTICAL, stated=order.stated) for i in items if i.id in names]
        )
    dem = [remote_dem(pystac.Item.from_dict(item)) for item in stored["dem"]]
    return Plan(
        order, candidates, stored["chosen"], images, dem, stored["warps"], stored["remarks"]
    )
