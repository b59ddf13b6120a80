"""Which of several processes of one run this is."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Return whether this is the first process of a run, or its only one.

    Fabric starts the others with their number in the environment. It speaks for a run on one
    machine, as all of ours are.
    """
    return os.environ.get("LOCAL_RANK", "0") == "0"
