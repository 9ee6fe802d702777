"""Which mail server is to be used, as whom, and how is it verified?

What a user has given is checked here, before anything is made of it; each fault is a ConfigError.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigError
from .bounded import tls_context
from .redaction import hide

if TYPE_CHECKING:
    import ssl

_MODES = ("starttls", "implicit", "off")
PORTS = {"starttls": 25, "implicit": 465, "off": 25}
_MOST_PORT = 65535
_PAIR = 2


def place_of(mailhost: str | tuple[str, int], tls: str) -> tuple[str, int]:
    """Return host and port of the server."""
    if tls not in _MODES:
        raise ConfigError(f"mail: tls = {tls!r} must be one of {', '.join(_MODES)}")
    host, port = (mailhost, PORTS[tls]) if isinstance(mailhost, str) else mailhost
    if not isinstance(host, str) or not host or not host.isprintable() or " " in host:
        raise ConfigError(f"mail: host {host!r} must be a name or an address")
    if not isinstance(port, int) or not 0 < port <= _MOST_PORT:
        raise ConfigError(f"mail: port {port!r} must be between 1 and {_MOST_PORT}")
    return host, port


def login_of(credentials: Sequence[str] | None, tls: str) -> tuple[str | None, str]:
    """Return user name, None for no login, and password; both are hidden from now on."""
    if not credentials:
        return None, ""
    if len(credentials) != _PAIR or not all(map(_usable, credentials)):
        raise ConfigError("mail: credentials must be user name and password, one line of text each")
    username, password = credentials
    hide_login(username, password)
    if tls == "off":
        raise ConfigError('mail: with tls="off" the password would be sent in clear: use TLS')
    return username, password


def _usable(text: object) -> bool:
    return isinstance(text, str) and text != "" and text.isprintable()


def hide_login(username: str, password: str) -> None:
    """Let no sink write a password, nor what a login sends."""
    hide(password)
    hide(f"\0{username}\0{password}")  # in base64, what AUTH PLAIN sends
    hide(base64.b64encode(username.encode()).decode())  # AUTH LOGIN


def recipients_of(fromaddr: str, toaddrs: str | Sequence[str]) -> list[str]:
    """Return the recipients, once all addresses have been found to be some."""
    from .letters import address, addresses  # noqa: PLC0415

    address(fromaddr)
    return [str(one) for one in addresses(toaddrs)]


def context_of(secure: Any, tls: str, ca_file: str | None) -> ssl.SSLContext | None:
    """Return what verifies the server; None without TLS."""
    import ssl  # noqa: PLC0415

    if tls == "off":
        if secure is not None or ca_file is not None:
            raise ConfigError('mail: tls="off" leaves no use for secure and ca_file')
        return None
    given = secure if isinstance(secure, (list, tuple)) else [secure] if secure is not None else []
    contexts = [one for one in given if isinstance(one, ssl.SSLContext)]
    files = [one for one in given if one and not isinstance(one, ssl.SSLContext)]
    if len(contexts) > 1 or len(files) > _PAIR or not all(map(_is_path, files)):
        raise ConfigError(
            "mail: secure must be None, (), (keyfile, certfile), (file with both,)"
            " or an ssl.SSLContext"
        )
    context = _verifying(contexts[0], ca_file) if contexts else tls_context(ca_file)
    if files:
        _identify(context, files[0], files[-1])
    return context


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike))


def _verifying(context: ssl.SSLContext, ca_file: str | None) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415

    if ca_file is not None:
        raise ConfigError("mail: give either ca_file or an ssl.SSLContext that knows it")
    is_new = context.minimum_version >= ssl.TLSVersion.TLSv1_2
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname or not is_new:
        raise ConfigError(
            "mail: the ssl.SSLContext must verify certificate and host name, with TLS 1.2 or"
            " later: make it by ssl.create_default_context()"
        )
    return context


def _identify(context: ssl.SSLContext, key_file: Any, certificate_file: Any) -> None:
    try:
        # Without a password, one would be asked for at the terminal, where nobody may be.
        context.load_cert_chain(certificate_file, key_file, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"mail: secure: {key_file} and {certificate_file} are not a key and its certificate"
            f" in PEM, without a pass phrase: {error}"
        ) from error
