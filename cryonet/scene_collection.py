"""Many scenes: a folder of their folders, or a STAC catalogue of them in local files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pystac
from pystac.stac_io import DefaultStacIO

from cryonet.errors import SceneError
from cryonet.scene import ITEM_NAME, LONGEST, read_item

_CONTAINERS = ("Catalog", "Collection", "FeatureCollection")

#: What reading a damaged catalogue may end in, beside what pystac has a name for.
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OSError)


class _LocalFiles(DefaultStacIO):
    """Reads STAC from files of a bounded length, and from nowhere else."""

    def read_text_from_href(self, href: str, *args: Any, **kwargs: Any) -> str:
        where = Path(href.removeprefix("file://"))
        if "://" in str(href).removeprefix("file://") or not where.is_file():
            rule = "A catalogue links to files that are here, not to addresses."
            raise SceneError("a catalogue links to what is no file", href, rule)
        if where.stat().st_size > LONGEST:
            raise SceneError("a catalogue's file is too long", href, f"At most {LONGEST:,} bytes.")
        return where.read_text(encoding="utf-8")


def is_one_scene(path: str | Path) -> bool:
    """Return whether `path` is a single scene: its folder, or its STAC Item."""
    where = Path(path)
    if where.is_dir():
        return (where / ITEM_NAME).is_file()
    return not where.is_file() or _kind(where) not in _CONTAINERS


def find_scenes(path: str | Path) -> list[Path]:
    """Return the scenes of a folder, by name, or of a STAC catalogue, in its order.

    Parameters
    ----------
    path
        A folder that holds scenes' folders; or a file with a STAC Catalog or Collection, whose
        items, at any depth, are scenes (``scene.json`` beside its COGs), or with an
        ItemCollection, each of whose items says with a link ``self`` where its file is. Links
        may be relative to the file. Nothing is fetched.

    Raises
    ------
    SceneError
        If there is none, a file is missing or damaged, or a catalogue contains itself.
    """
    where = Path(path).absolute()
    if where.is_dir():
        found = [f for f in sorted(where.iterdir()) if not f.name.startswith(".")]
        scenes = [folder for folder in found if (folder / ITEM_NAME).is_file()]
    elif not where.is_file():
        raise SceneError("there are no scenes", str(path), "Give a folder, or a STAC file.")
    elif _kind(where) == "FeatureCollection":
        features = _read(where).get("features")
        if not isinstance(features, list):
            raise SceneError("the catalogue is damaged", str(where), "Its features are a list.")
        scenes = [_own_file(item, where) for item in features]
    else:
        scenes = _items(where)
    if not scenes:
        rule = f"A folder of scenes holds folders with {ITEM_NAME}; a catalogue links to items."
        raise SceneError("there are no scenes", str(path), rule)
    return scenes


def scene_names(scenes: list[Path]) -> list[str]:
    """Return the names under which scenes are kept apart: their ids, as names of folders.

    A scene whose item cannot be read has the name of its folder: the one that opens it says
    what is wrong.

    Raises
    ------
    SceneError
        If two have the same, or one is no name for a folder.
    """
    names = [_name(scene) for scene in scenes]
    twice = [name for name, count in Counter(map(str.casefold, names)).items() if count > 1]
    if twice:
        rule = "Each scene has an id of its own: their predictions are named after it."
        raise SceneError("two scenes have the same id", ", ".join(twice), rule)
    return names


def _name(scene: Path) -> str:
    folder = scene if scene.is_dir() else scene.parent
    try:
        name = str(read_item(scene)["id"])
    except SceneError:
        return folder.name
    if Path(name).name != name or name.startswith(".") or "\\" in name or not name.isprintable():
        rule = "A folder is named after it: no slashes, no dot at the start."
        raise SceneError("the scene's id is no name for a folder", f"{name!r} in {folder}", rule)
    return name


def _items(file: Path) -> list[Path]:
    try:
        catalogue = pystac.read_file(str(file), stac_io=_LocalFiles())
        if not isinstance(catalogue, pystac.Catalog):
            raise TypeError("it is a single item")
        hrefs = [item.get_self_href() for item in catalogue.get_items(recursive=True)]
    except RecursionError as error:
        rule = "A catalogue's children lie below it."
        raise SceneError("a catalogue contains itself", str(file), rule) from error
    except (pystac.STACError, pystac.STACTypeError, *_DAMAGED) as error:
        if isinstance(error.__cause__, SceneError):
            raise error.__cause__ from None
        raise SceneError("the catalogue is damaged", str(file), f"{error}.") from error
    return [Path(str(href).removeprefix("file://")) for href in hrefs]


def _own_file(item: Any, file: Path) -> Path:
    """Return where the file of an item in an ItemCollection is, after its own link."""
    links = item.get("links", ()) if isinstance(item, dict) else ()
    hrefs = [link["href"] for link in links if link.get("rel") == "self"]
    if not hrefs or "://" in str(hrefs[0]).removeprefix("file://"):
        named = str(item.get("id", "")) if isinstance(item, dict) else ""
        rule = f"Each item links, as self, to its {ITEM_NAME} beside the COGs."
        raise SceneError("an item does not say where its file is", named, rule)
    return file.parent / str(hrefs[0]).removeprefix("file://")


def _kind(file: Path) -> str:
    try:
        return str(_read(file).get("type", ""))
    except SceneError:
        return ""


def _read(file: Path) -> dict[str, Any]:
    if file.stat().st_size > LONGEST:
        raise SceneError("the catalogue is too long", str(file), f"At most {LONGEST:,} bytes.")
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SceneError("the catalogue is not JSON", str(file), f"{error}.") from error
    return found if isinstance(found, dict) else {}
