"""Converted models and what was found out about them, kept between runs in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

from cryonet.atomic import whole_file

#: Names a folder that is used in place of the user's own cache.
FOLDER = "CRYONET_CACHE"

#: Changes with what is kept, and with how models are made.
FORMAT = 1

_MODEL, _FACTS, _TRIALS = "model.onnx", "facts.json", "trials.json"


def cache_folder() -> Path:
    """Return where converted models are kept: see `FOLDER`."""
    stated = os.environ.get(FOLDER)
    return (Path(stated) if stated else Path(pooch.os_cache("cryonet"))) / "onnx"


@dataclass(frozen=True, slots=True)
class Kept:
    """The place of one converted model. What is damaged there counts as not there.

    Attributes
    ----------
    key
        All that the model and its check hang on, as JSON holds it.
    """

    key: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where it lies."""
        known = {"format": FORMAT, "processor": processor(), **self.key}
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        return cache_folder() / digest[:32]

    def model(self) -> bytes | None:
        """Return the model, if it is there as it was written."""
        try:
            data = (self.folder / _MODEL).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == self.facts().get("sha256") else None

    def facts(self) -> dict[str, Any]:
        """Return what was found when the model was made; empty if it was not."""
        return self._read(_FACTS)

    def keep(self, model: bytes | None, facts: Mapping[str, Any]) -> None:
        """Keep a model, or only what is to be known of one that cannot be used.

        Raises
        ------
        OSError
            If the system refuses.
        """
        stated = dict(facts)
        if model is not None:
            stated["sha256"] = hashlib.sha256(model).hexdigest()
            with whole_file(self.folder / _MODEL) as file:
                file.write_bytes(model)
        self._write(_FACTS, stated)

    def trial(self, name: str) -> dict[str, float]:
        """Return what was measured under a name, in seconds a window; empty if nothing."""
        found = self._read(_TRIALS).get(name)
        good = isinstance(found, dict) and all(isinstance(s, float) for s in found.values())
        return dict(found) if good and found else {}

    def keep_trial(self, name: str, seconds: Mapping[str, float]) -> None:
        """Keep what was measured.

        Raises
        ------
        OSError
            If the system refuses.
        """
        self._write(_TRIALS, self._read(_TRIALS) | {name: dict(seconds)})

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        with whole_file(self.folder / name) as file:
            file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def processor() -> str:
    """Return what this machine computes with: other processors take other ways to a sum."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.system()} {platform.machine()} {names[0] if names else platform.processor()}"
