"""No network: for this process, and for the processes and libraries that it starts."""

from __future__ import annotations

import errno
import os
import sys

_SWITCHES = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
_FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_state = {"offline": False, "watched": False}


def go_offline() -> None:
    """Refuse every connection of this process from now on, as if there were no network.

    Libraries of the hub are switched off by variables, which they read when they are imported: call this before.
    Connections between processes of this machine that are no internet sockets still work.
    """
    os.environ.update(_SWITCHES)
    _state["offline"] = True
    if not _state["watched"]:
        sys.addaudithook(_refuse)  # it cannot be taken away again, hence the switch
        _state["watched"] = True


def go_online() -> None:
    """Take back `go_offline`."""
    for name in _SWITCHES:
        os.environ.pop(name, None)
    _state["offline"] = False


def is_offline() -> bool:
    """Return whether `go_offline` is in force."""
    return _state["offline"]


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _state["offline"] and event in _FORBIDDEN:
        if event in ("socket.connect", "socket.sendto") and not isinstance(arguments[1], tuple):
            return  # a pipe between processes of this machine
        raise OSError(errno.ENETUNREACH, "the network is not used (--offline)")
