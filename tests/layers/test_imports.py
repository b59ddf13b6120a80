"""What importing the layers brings with it, and what it costs."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys

import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import cryonet.layers

MODULES = [found.name for found in pkgutil.iter_modules(cryonet.layers.__path__)]


def test_the_layers_do_not_import_torch():
    code = "import sys, cryonet.layers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", MODULES)
def test_compiled_code_is_cached_on_disk(name):
    module = importlib.import_module(f"cryonet.layers.{name}")
    for kernel in vars(module).values():
        if isinstance(kernel, Dispatcher):
            assert not isinstance(kernel._cache, NullCache), kernel


def test_a_second_process_compiles_nothing(tmp_path):
    code = (
        "import numpy as np\n"
        "from cryonet.layers.linear import _sum_bands, weighted_sums\n"
        "weighted_sums([np.ones((2, 2), np.float32)], np.ones((1, 1)), np.ones(1))\n"
        "print(len(_sum_bands.stats.cache_hits), len(_sum_bands.stats.cache_misses))\n"
    )
    command = [sys.executable, "-c", code]
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.split()
        for _ in range(2)
    )
    assert first == ["0", "1"] and second == ["1", "0"]
