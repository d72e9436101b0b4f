"""What tests of claims need, wherever claims are kept."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.quick_claims import BEAT, LAPSE

from larpbench import owners
from larpbench.encoders.run import keeping
from larpbench.encoders.run.claims import Claims
from larpbench.encoders.run.remote_claims import RemoteClaims
from larpbench.owners import Owner


@pytest.fixture
def quick(monkeypatch):
    """Claims with a sign of life every `BEAT`, which lapse after `LAPSE`."""
    for claims in (Claims, RemoteClaims):
        monkeypatch.setattr(claims, "beat_seconds", BEAT)
    monkeypatch.setattr(keeping, "LAPSE_SECONDS", LAPSE)


@pytest.fixture(scope="module")
def ended() -> Owner:
    """An owner on this machine whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Owner(process.pid, owners._machine(), "dead0000", "here")
