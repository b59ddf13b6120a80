"""Files from the network, fetched once into the user's cache and held to their SHA-256."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pooch
from requests.exceptions import RequestException

from cryonet.errors import CryonetError

#: Seconds without an answer after which a server is given up, and further attempts.
TIMEOUT, RETRIES = 30, 2

_ADDRESS = re.compile(r"(https?://[^#]+)(?:#sha256[=:]([0-9a-fA-F]{64}))?")


def fetch_file(url: str, digest: str, *, remedy: str = "Check the network.") -> Path:
    """Return where the file at `url` lies on this machine, fetched if it is not there yet.

    Parameters
    ----------
    url
        Its address; the last part is the file's name.
    digest
        Its SHA-256 in hexadecimal digits.
    remedy
        What a user can do without the network, for the error.

    Raises
    ------
    CryonetError
        If nothing answers, or what comes has another SHA-256; nothing is kept then.
    """
    name = PurePosixPath(urlsplit(url).path).name
    # The first digits keep a file of another version apart in the cache.
    cache = pooch.create(
        path=pooch.os_cache("cryonet") / digest[:8],
        base_url="",
        registry={name: f"sha256:{digest}"},
        urls={name: url},
        retry_if_failed=RETRIES,
    )
    try:
        return Path(cache.fetch(name, downloader=pooch.HTTPDownloader(timeout=TIMEOUT)))
    except RequestException as error:
        raise CryonetError("the file cannot be fetched", url, remedy) from error
    except ValueError as error:
        rule = f"Its SHA-256 is {digest}: what came was thrown away. {remedy}"
        raise CryonetError("the file is not the one expected", url, rule) from error


def local_path(reference: str | Path) -> Path:
    """Return the path of a file named by its path, or by ``URL#sha256=…``: fetched then.

    Raises
    ------
    CryonetError
        See `fetch_file`; or if an address comes without the SHA-256 of what lies there.
    """
    found = _ADDRESS.fullmatch(str(reference))
    if found is None:
        return Path(reference)
    if found[2] is None:
        rule = "Write URL#sha256=HEX, so that everyone gets the same file."
        raise CryonetError("the address has no hash", str(reference), rule)
    return fetch_file(found[1], found[2].lower())
