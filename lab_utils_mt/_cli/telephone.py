"""How is the daemon of a service spoken to, without mistaking another one for it?"""

from __future__ import annotations

import contextlib

from .._client.client import Client
from .._config import read_section
from .._service.description import Service
from .._settings import ServerSettings
from ..exceptions import ConfigError, LabUtilsError

_PATIENCE = 5.0  # s for a reply
# Where a server listens on all addresses, it can be reached at these.
_NEAREST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def answers(service: Service) -> bool:
    """Tell whether a service's daemon, and no other, answers at the address of its settings."""
    with contextlib.suppress(LabUtilsError, OSError), _client(service) as client:
        return _is_daemon(client.send_message("status"), service)
    return False


def ask_to_quit(service: Service) -> bool:
    """Let a service's daemon stop in order; return whether it was told, even if it says nothing."""
    is_told = False
    with contextlib.suppress(LabUtilsError, OSError), _client(service) as client:
        if _is_daemon(client.send_message("status"), service):
            is_told = True
            client.send_message("quit")
    return is_told


def _client(service: Service) -> Client:
    host, port = _address(service)
    return Client(host=host, port=port, timeout=_PATIENCE)


def _address(service: Service) -> tuple[str, int]:
    values = {}
    if service.config is not None:
        values = read_section(str(service.config), "Overall", ServerSettings)
    host, port = values.get("host", ServerSettings.host), values.get("port", ServerSettings.port)
    if port == 0:
        raise ConfigError("a port that is a different one each time cannot be known here")
    return _NEAREST.get(host, host), port


def _is_daemon(status: str, service: Service) -> bool:
    name = service.target.rpartition(":")[2].rpartition(".")[2]
    return f"server: {name}" in status.splitlines()
