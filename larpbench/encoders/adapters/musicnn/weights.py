"""Where the bundled weights are; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from larpbench.encoders.encoder import EncodeContext
from larpbench.fingerprint import digest_file_once

NAMES = ("msd", "mtt")
"""Million Song Dataset and MagnaTagATune: what the networks were trained on."""


def weights_path(name: str) -> Path:
    """Return the bundled file of ``msd`` or ``mtt``."""
    return Path(__file__).with_name(f"{name}.safetensors")


def msd_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the weights trained on the Million Song Dataset."""
    return digest_file_once(weights_path("msd"))


def mtt_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the weights trained on MagnaTagATune."""
    return digest_file_once(weights_path("mtt"))
