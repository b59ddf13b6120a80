"""The tabs of the sidebar, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dashboards.panels import about, explore
from dashboards.viewmodels import MapPage

#: Tabs in order: title and what builds one from a page.
PANELS: Mapping[str, Callable[[MapPage], Any]] = {"Map": explore.panel, "About": about.panel}
