"""A small Ray cluster for the tests of a file; nothing where Ray is not installed."""

from __future__ import annotations

import logging
import shutil
import tempfile

import pytest


@pytest.fixture(scope="module")
def cluster(request):
    """Four logical CPUs or the module's CPUS, little memory, no dashboard; its folder is short, as names of sockets."""
    ray = pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="lb-ray-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=getattr(request.module, "CPUS", 4),
            object_store_memory=100 * 2**20,
            include_dashboard=False,
            _temp_dir=folder,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
        try:
            yield ray
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)
