"""Stand-ins on loopback for NASA's catalogue, Earthdata's login and HyP3.

asf_search and hyp3_sdk run as they are, with their real addresses: only the transport below
`requests` leads every https request to this machine, with the host as the first folder.
"""

from __future__ import annotations

import base64
import json
import threading
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import numpy as np
import pytest
from requests.adapters import HTTPAdapter
from shapely.geometry import Polygon, box

CMR = "cmr.earthdata.nasa.gov"
URS = "urs.earthdata.nasa.gov"
CUMULUS = "cumulus.asf.alaska.edu"
HYP3 = "hyp3-api.asf.alaska.edu"


class Service:
    """What answers; `asked` lists method, host and path of every request."""

    def __init__(self, granules: list[dict[str, Any]]) -> None:
        self.granules = granules
        self.asked: list[tuple[str, str, str]] = []
        self.searches: list[list[tuple[str, str]]] = []
        self.orders: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        #: Status and body to answer instead, by host.
        self.failures: dict[str, tuple[int, str]] = {}
        #: How many granules at most an answer holds, whatever was asked for.
        self.withheld = 0
        self.login = ("someone", "secret")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self, b"")

            def do_POST(self) -> None:
                outer._answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        split = urlsplit(handler.path)
        host, _, path = split.path[1:].partition("/")
        self.asked.append((handler.command, host, path))
        self.headers.append(dict(handler.headers))
        headers: dict[str, str] = {}
        if host in self.failures:
            status, text = self.failures[host]
        elif host == CMR:
            status, text, headers = self._search(handler, parse_qsl(body.decode(), True))
        elif host == URS:
            status, text, headers = self._authorise(handler)
        elif host == CUMULUS:
            status, text = 200, ""
            headers = {"Set-Cookie": "asf-urs=cookie; Domain=asf.alaska.edu; Path=/"}
        elif host == HYP3:
            status, text = self._jobs(handler.command, path, body)
        else:
            status, text = 404, "{}"
        sent = text.encode()
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(sent)))
        handler.end_headers()
        handler.wfile.write(sent)

    def _search(
        self, handler: BaseHTTPRequestHandler, form: list[tuple[str, str]]
    ) -> tuple[int, str, dict[str, str]]:
        """Answer as CMR: by collection, time, place and attributes, a page at a time."""
        self.searches.append(form)
        found = [granule for granule in self.granules if matches(granule["umm"], form)]
        found.sort(key=lambda granule: granule["umm"]["GranuleUR"])
        start = int(handler.headers.get("CMR-Search-After", 0))
        size = int(dict(form)["page_size"])
        stop = min(start + size, len(found) - self.withheld)
        text = json.dumps({"hits": len(found), "took": 1, "items": found[start:stop]})
        more = {"CMR-Search-After": str(stop)} if start < stop < len(found) else {}
        return 200, text, more

    def _authorise(self, handler: BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        given = handler.headers.get("Authorization", "")
        wanted = base64.b64encode(":".join(self.login).encode()).decode()
        if given != f"Basic {wanted}":
            return 401, "{}", {}
        return 302, "", {"Location": f"https://{CUMULUS}/login?code=1"}

    def _jobs(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        if method == "POST":
            order = json.loads(body)
            self.orders.append(order)
            jobs = [self._job(job, index, "PENDING") for index, job in enumerate(order["jobs"])]
            return 200, json.dumps({"jobs": jobs})
        index = int(path.rpartition("-")[2])
        return 200, json.dumps(self._job(self.orders[-1]["jobs"][index], index, "SUCCEEDED"))

    def _job(self, job: dict[str, Any], index: int, status: str) -> dict[str, Any]:
        return job | {
            "job_id": f"job-{index}",
            "user_id": "someone",
            "request_time": "2026-01-01T00:00:00+00:00",
            "status_code": status,
            "expiration_time": "2999-01-01T00:00:00+00:00",
            "files": [],
        }


def matches(umm: dict[str, Any], form: list[tuple[str, str]]) -> bool:
    """Whether a granule is one that CMR would list for a form."""
    asked = parse_qs("&".join(f"{key}={value.replace('+', '%2B')}" for key, value in form))
    if umm["CollectionReference"]["ShortName"] not in asked["shortName"]:
        return False
    attributes = {one["Name"]: one["Values"] for one in umm["AdditionalAttributes"]}
    for text in asked.get("attribute[]", []):
        _, name, value = text.split(",")
        if value not in attributes[name]:
            return False
    first, last, _ = asked["temporal"][0].split(",")
    times = umm["TemporalExtent"]["RangeDateTime"]
    if times["EndingDateTime"] < first or times["BeginningDateTime"] > last:
        return False
    place = box(*map(float, asked["bounding_box"][0].split(",")))
    points = umm["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]["GPolygons"][0]
    corners = [(one["Longitude"], one["Latitude"]) for one in points["Boundary"]["Points"]]
    # Whoever is half a turn wide lies across the 180th meridian, as does who ends there.
    wide = max(lon for lon, _ in corners) - min(lon for lon, _ in corners) > 180
    turn = wide or min(lon for lon, _ in corners) == -180
    outline = Polygon([(lon + 360 if turn and lon < 0 else lon, lat) for lon, lat in corners])
    return bool(outline.intersects(place))


def lead_to(service: Service | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead every https request of `requests` to the service; to a closed port if None."""
    plain = HTTPAdapter.send
    port = service.port if service else 9

    def send(self: HTTPAdapter, request: Any, **options: Any) -> Any:
        asked = request.url
        request.url = asked.replace("https://", f"http://127.0.0.1:{port}/", 1)
        try:
            answer = plain(self, request, **(options | {"proxies": {}}))
        finally:
            request.url = asked
        answer.url = asked
        return answer

    monkeypatch.setattr(HTTPAdapter, "send", send)


# The Earth is a sphere of this radius for the orbits below.
_RADIUS = 6_371_000.0


def _attributes(**values: object) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": [str(value)]} for name, value in values.items()]


def _vector(values: np.ndarray, when: datetime) -> str:
    return ",".join([*(f"{value:.6f}" for value in values), f"{when:%Y-%m-%dT%H:%M:%S.%f}"])


def orbit(centre: tuple[float, float], when: datetime, baseline: float) -> dict[str, str]:
    """State vectors of a satellite that flies north past `centre`, 600 km off to its west.

    It flies straight, `baseline` metres off the line of zero baseline, square to the look.
    """
    lon, lat = np.radians(centre)
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(up, east)
    # asf_search sets the point on the WGS84 ellipsoid; so does this.
    a, e2 = 6378137.0, 1 - (1 - 1 / 298.257224) ** 2
    n = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
    ground = np.array([n * up[0], n * up[1], n * (1 - e2) * up[2]])
    look = (700e3 * up - 300e3 * east) / np.hypot(700e3, 300e3)
    across = np.cross(north, look)
    velocity = 7500.0 * north
    values = {}
    for name, seconds in (("PRE", -5.0), ("POST", 5.0)):
        moment = when + timedelta(seconds=seconds)
        place = ground + look * 850e3 + baseline * across + seconds * velocity
        values[f"SV_POSITION_{name}"] = _vector(place, moment)
        values[f"SV_VELOCITY_{name}"] = _vector(velocity, moment)
    return values


def granule(
    outline: Polygon,
    when: datetime,
    *,
    track: int = 12,
    direction: str = "DESCENDING",
    burst: tuple[int, int] | None = None,
    baseline: float | None = 0.0,
    polarisation: str | None = None,
    digits: str = "7C85",
) -> dict[str, Any]:
    """An item of CMR's UMM-JSON, of the shape of ASF's: a burst, or a scene if None."""
    centre = outline.centroid
    cycle = round((when - datetime(2014, 4, 3)).total_seconds() / 86400 * 175 / 12)
    last = when + timedelta(seconds=3 if burst else 27)
    extra: dict[str, Any] = {}
    if burst:
        number, swath = burst
        polarisation = polarisation or "VV"
        name = f"S1_{number:06d}_IW{swath}_{when:%Y%m%dT%H%M%S}_{polarisation}_{digits}-BURST"
        collection, kind, identifiers = "SENTINEL-1_BURSTS", "BURST", []
        extra = {
            "BURST_ID_FULL": f"{track:03d}_{number:06d}_IW{swath}",
            "BURST_ID_RELATIVE": number,
            "SUBSWATH_NAME": f"IW{swath}",
        }
    else:
        polarisation = polarisation or "VV+VH"
        times = f"{when:%Y%m%dT%H%M%S}_{last:%Y%m%dT%H%M%S}"
        name = f"S1A_IW_SLC__1SDV_{times}_{cycle:06d}_0DB1E0_{digits}"
        collection, kind = "SENTINEL-1A_SLC", "SLC"
        identifiers = [{"IdentifierType": "ProducerGranuleId", "Identifier": name}]
        name += "-SLC"
    if baseline is not None:
        extra |= orbit((centre.x, centre.y), when, baseline)
    points = [{"Longitude": lon, "Latitude": lat} for lon, lat in outline.exterior.coords]
    umm = {
        "GranuleUR": name,
        "CollectionReference": {"ShortName": collection, "Version": "1"},
        "TemporalExtent": {
            "RangeDateTime": {
                "BeginningDateTime": f"{when:%Y-%m-%dT%H:%M:%S.%fZ}",
                "EndingDateTime": f"{last:%Y-%m-%dT%H:%M:%S.%fZ}",
            }
        },
        "OrbitCalculatedSpatialDomains": [{"OrbitNumber": cycle}],
        "DataGranule": {"Identifiers": identifiers, "ProductionDateTime": "2020-01-01T00:00:00Z"},
        "AdditionalAttributes": _attributes(
            ASC_NODE_TIME=f"{when - timedelta(seconds=900):%Y-%m-%dT%H:%M:%S.%f}",
            ASCENDING_DESCENDING=direction,
            BEAM_MODE="IW",
            CENTER_LAT=centre.y,
            CENTER_LON=centre.x,
            PATH_NUMBER=track,
            POLARIZATION=polarisation,
            PROCESSING_TYPE=kind,
            **extra,
        ),
        "SpatialExtent": {
            "HorizontalSpatialDomain": {
                "Geometry": {"GPolygons": [{"Boundary": {"Points": points}}]}
            }
        },
        "RelatedUrls": [],
        "Platforms": [{"ShortName": "SENTINEL-1A", "Instruments": [{"ShortName": "C-SAR"}]}],
    }
    return {"meta": {"concept-id": "G1-ASF", "native-id": name}, "umm": umm}
