"""Orders of interferograms at ASF HyP3: as lines of Python to paste, or sent at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
from requests.exceptions import RequestException
from requests.utils import get_netrc_auth

from cryonet.errors import CryonetError
from cryonet.progress import SILENT, Progress
from cryonet.sources.pairs import Pair, Product

#: Looks in range by looks in azimuth that each product can be had with: pixels of 80 m, 40 m
#: and 20 m.
LOOKS: Mapping[Product, tuple[str, ...]] = {
    "INSAR_GAMMA": ("20x4", "10x2"),
    "INSAR_ISCE_MULTI_BURST": ("20x4", "10x2", "5x1"),
    "INSAR_ISCE_BURST": ("20x4", "10x2", "5x1"),
}

#: Names that jobs carry have at most so many characters, and a request so many jobs.
LONGEST_NAME, MOST_JOBS = 100, 200

#: Seconds without an answer after which the service is given up.
TIMEOUT = 60

#: Where credentials are asked for, and the environment variables that may hold them.
LOGIN_URL = "https://urs.earthdata.nasa.gov"
TOKEN, USERNAME, PASSWORD = "EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"

_HEAD = """\
# Interferograms of ASF HyP3. A free Earthdata login is needed: in ~/.netrc, or answer
# HyP3(prompt="password"). Jobs can be seen by everyone; each costs credits of the login.
from hyp3_sdk import HyP3

hyp3 = HyP3()
jobs = [
"""

_TAIL = """\
]
batch = hyp3.submit_prepared_jobs(jobs)
print(*[job.job_id for job in batch], sep="\\n")

# Wait, an hour or more; or come back to it with batch = hyp3.find_jobs(name={name!r}).
batch = hyp3.watch(batch)
batch.download_files({folder!r})
# Then, one pair a scene: cryonet scene add-insar SCENE FILE.zip
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A method of ``hyp3_sdk.HyP3`` that prepares one job, and its keywords."""

    method: str
    keywords: Mapping[str, Any]


def order_calls(pairs: Sequence[Pair], *, looks: str = "20x4", name: str = "cryonet") -> list[Call]:
    """Return the call that prepares the job of each pair; the older image is the reference.

    Water is not masked, as lakes are mapped, and the wrapped phase is asked for where it is
    left out otherwise.

    Parameters
    ----------
    looks
        Looks in range and azimuth, of `LOOKS`. More looks are less noise and larger pixels.
    name
        By which the jobs are found again.

    Raises
    ------
    CryonetError
        If there is no pair or more than a request takes, a product cannot be had with these
        looks, or the name is empty or too long.
    """
    if not pairs:
        raise CryonetError("there is no pair to order", "none", "Find pairs first.")
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        rule = f"Give 1 to {LONGEST_NAME} printable characters."
        raise CryonetError("the name of an order cannot be used", name, rule)
    if len(pairs) > MOST_JOBS:
        raise CryonetError("the order is too large", len(pairs), f"Give {MOST_JOBS} pairs at most.")
    return [_call(pair, looks, name) for pair in pairs]


def _call(pair: Pair, looks: str, name: str) -> Call:
    if looks not in LOOKS[pair.product]:
        rule = f"Choose from {', '.join(LOOKS[pair.product])}."
        raise CryonetError(f"{pair.product} cannot be had with these looks", looks, rule)
    common = {"name": name, "apply_water_mask": False, "looks": looks}
    if pair.product == "INSAR_ISCE_MULTI_BURST":
        both = {"reference": list(pair.reference), "secondary": list(pair.secondary)}
        return Call("prepare_insar_isce_multi_burst_job", both | common)
    granules = {"granule1": pair.reference[0], "granule2": pair.secondary[0]}
    if pair.product == "INSAR_ISCE_BURST":
        return Call("prepare_insar_isce_burst_job", granules | common)
    return Call("prepare_insar_job", granules | common | {"include_wrapped_phase": True})


def order_lines(
    pairs: Sequence[Pair], *, looks: str = "20x4", name: str = "cryonet", folder: str = "insar"
) -> str:
    """Return lines of Python that order the pairs and, later, download what was made.

    They make the calls that `submit_order` makes, with the reasons for each pair beside them.

    Parameters
    ----------
    looks, name
        See `order_calls`.
    folder
        Where the lines download to.

    Raises
    ------
    CryonetError
        See `order_calls`.
    """
    lines = [_HEAD]
    for pair, call in zip(pairs, order_calls(pairs, looks=looks, name=name), strict=True):
        # A line break in what a catalogue states would end the comment.
        reasons = (" ".join(reason.split()) for reason in (f"{_dates(pair)}:", *pair.reasons))
        lines += [f"    # {reason}\n" for reason in reasons]
        lines.append(f"    HyP3.{call.method}(\n")
        lines += [line for key, value in call.keywords.items() for line in _keyword(key, value)]
        lines.append("    ),\n")
    lines.append(_TAIL.format(name=name, folder=folder))
    return "".join(lines)


def _dates(pair: Pair) -> str:
    return f"{pair.reference_time.date()} and {pair.secondary_time.date()}"


def _keyword(key: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        return [f"        {key}={value!r},\n"]
    inner = [f"            {item!r},\n" for item in value]
    return [f"        {key}=[\n", *inner, "        ],\n"]


def submit_order(
    pairs: Sequence[Pair],
    *,
    looks: str = "20x4",
    name: str = "cryonet",
    api: str | None = None,
    progress: Progress = SILENT,
) -> list[str]:
    """Order the pairs in one request and return the identifiers of the jobs.

    Credentials are taken from the environment, ``EARTHDATA_TOKEN``, or ``EARTHDATA_USERNAME``
    and ``EARTHDATA_PASSWORD``; else from ``~/.netrc``.

    Parameters
    ----------
    looks, name
        See `order_calls`.
    api
        Address of the service, if not HyP3's own.

    Raises
    ------
    CryonetError
        If there are no credentials, the login or the order is refused, or nothing answers;
        see also `order_calls`.
    """
    calls = order_calls(pairs, looks=looks, name=name)
    credentials = _credentials()
    import hyp3_sdk
    from hyp3_sdk.exceptions import HyP3SDKError

    where = api or hyp3_sdk.PROD_API
    progress.step(0, 2, "logging in")
    try:
        service = _logged_in(hyp3_sdk, where, credentials)
    except (HyP3SDKError, RequestException) as error:
        rule = f"Check the network and the credentials. The reason: {_line(error)}"
        raise CryonetError("the login at Earthdata failed", LOGIN_URL, rule) from error
    progress.step(1, 2, "ordering")
    jobs = [getattr(hyp3_sdk.HyP3, call.method)(**call.keywords) for call in calls]
    try:
        batch = service.submit_prepared_jobs(jobs)
    except (HyP3SDKError, RequestException) as error:
        rule = (
            f"The reason: {_line(error)} Before ordering again, see what was taken: "
            f"hyp3.find_jobs(name={name!r})."
        )
        raise CryonetError("the order was not taken", where, rule) from error
    progress.step(2, 2, "ordered")
    return [str(job.job_id) for job in batch]


def _credentials() -> dict[str, str]:
    """Return what `hyp3_sdk.HyP3` is to be given; nothing if it is to read the netrc file."""
    if token := os.environ.get(TOKEN):
        return {"token": token}
    username, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
    if username and password:
        return {"username": username, "password": password}
    if get_netrc_auth(LOGIN_URL) is None:
        rule = (
            f"Write machine urs.earthdata.nasa.gov with login and password into ~/.netrc, or "
            f"set {TOKEN}, or {USERNAME} and {PASSWORD}; a login is free at {LOGIN_URL}."
        )
        raise CryonetError("there are no credentials of Earthdata", "none found", rule)
    return {}


def _logged_in(library: Any, where: str, credentials: Mapping[str, str]) -> Any:
    """Return the service, of which no request waits longer than `TIMEOUT`."""
    if "token" not in credentials:
        # The library logs in without a time limit: go the same way with one first.
        login = (credentials["username"], credentials["password"]) if credentials else None
        requests.get(library.util.AUTH_URL, auth=login, timeout=TIMEOUT).close()
    service = library.HyP3(api_url=where, **credentials)
    service.session.request = partial(service.session.request, timeout=TIMEOUT)
    return service


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300].rstrip(".") + "."
