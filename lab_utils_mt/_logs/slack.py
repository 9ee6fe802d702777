"""How does an event reach a Slack channel, as harmless text, at a rate that Slack accepts?"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..exceptions import ConfigError
from .bounded import (
    LONGEST_WORDS,
    Bound,
    Undelivered,
    check_seconds,
    network_reason,
    tls_context,
)
from .redaction import hide, redact
from .rendering import message_formatter, render
from .sink import Refused, SinkHandler, TryLater

if TYPE_CHECKING:
    from .slack_doors import Answer, TokenDoor, WebhookDoor

_LONGEST_MESSAGE = 3500  # characters; Slack cuts from 4,000 on
_LONGEST_RECORD = 3000  # characters
_GROWTH = 5  # "&" becomes "&amp;"
_APART = 1.0  # s; Slack takes one message per second and channel
_PATIENCE = 30.0  # s, if Slack asks for patience and does not say how much
_MOST_PATIENCE = 3600.0  # s
_LEAST_PART = 8  # characters of an address's part that may be a secret by itself
_REDIRECTS, _TOO_MANY, _FAULT_OF_SLACK = range(300, 400), 429, 500
_API = "https://slack.com/api/"
_TOKEN = re.compile(r"xox[\w.-]+", re.ASCII)
_MOVED = "check the address, and whether the network wants a login"
_SAFE = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

# What Slack says of one message, which will not become better.
_ABOUT_THE_MESSAGE = frozenset(
    {
        "attachment_payload_limit_exceeded",
        "invalid_attachments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_payload",
        "markdown_text_conflict",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "too_many_attachments",
    }
)
_ADVICE = {
    "account_inactive": "the app or its user was removed: make a new token",
    "action_prohibited": "ask the workspace's administrators to allow it",
    "channel_is_archived": "take another channel",
    "channel_not_found": "check the channel's name; the app must be invited into a private one",
    "invalid_auth": "check the token",
    "invalid_token": "check the webhook's address",
    "is_archived": "take another channel",
    "missing_scope": "give the app chat:write and, for a user name, chat:write.customize",
    "no_service": "the webhook was removed: make a new one",
    "no_team": "check the webhook's address",
    "not_authed": "check the token",
    "not_in_channel": "invite the app into the channel",
    "restricted_action": "ask the workspace's administrators to allow it",
    "token_expired": "make a new token",
    "token_revoked": "make a new token",
}


class SlackHandler(SinkHandler):
    """Sends records to a Slack channel, without holding up those who log.

    Args:
        secret: A token (``xoxb-...``), or a webhook's address (``https://...``).
        channel: Its name or id; needed with a token. A webhook has its channel at Slack.
        user: The name to write under; Slack may want a permission for that.
        api_url: Where Slack's methods are, if not at ``https://slack.com/api/``.
        ca_file: Certificates to trust, as PEM, instead of the system's.
        timeout: Seconds for the connection and for each silence of the other end.
        capacity: Most records that wait; then the oldest ones below ERROR make room.

    Raises:
        ConfigError: An argument cannot be used, or ``slack_sdk`` is missing; the text never holds
            the secret.
    """

    batch = 100
    longest_pause = 300.0
    delivery_limit = 60.0

    def __init__(
        self,
        secret: str,
        channel: str = "",
        user: str = "",
        *,
        api_url: str | None = None,
        ca_file: str | None = None,
        timeout: float = 5.0,
        capacity: int = 1000,
    ) -> None:
        # All checks come first: what fails here leaves no handler behind.
        bound = Bound()
        check_seconds("Slack: timeout", timeout)
        address = _API if api_url is None else api_url
        door = _open_door(secret, channel, user, address, timeout, ca_file, bound)
        super().__init__("Slack", capacity)
        self._bound, self._door = bound, door
        self._not_until = float("-inf")
        self.setFormatter(message_formatter())

    def pause(self) -> float:
        """Return the seconds until the next message may go."""
        return self._not_until - time.monotonic()

    def deliver(self, records: list[logging.LogRecord]) -> int:
        """Send one message about as many of the records as it can hold."""
        text, count = self._message(records)
        self._bound.begin(self.delivery_limit)
        try:
            answer = self._door.say(text)
        except Exception as error:  # noqa: BLE001  (urllib and slack_sdk raise of many kinds)
            # Not `from error`: its text or its frames hold the secret.
            raise Undelivered(f"Slack: {network_reason(_cause(error))}") from None
        finally:
            self._not_until = time.monotonic() + _APART
            self._bound.end()
        if answer.error:
            raise _told(answer, count)
        return count

    def interrupt(self) -> None:
        """Break off a message that is on its way."""
        self._bound.cut()

    def forget_parent(self) -> None:
        """Start anew in a forked child."""
        super().forget_parent()
        self._bound.forget_parent()
        self._not_until = float("-inf")

    def _message(self, records: list[logging.LogRecord]) -> tuple[str, int]:
        texts: list[str] = []
        length = 0
        for record in records:
            text = self._text(record)
            length += len(text) + 1
            if texts and length > _LONGEST_MESSAGE:
                break
            texts.append(text)
        return "\n".join(texts), len(texts)

    def _text(self, record: logging.LogRecord) -> str:
        text = render(self, record, _LONGEST_RECORD).translate(_SAFE)
        if len(text) > _LONGEST_MESSAGE:
            # Cut before it is made safe: half a "&lt;" would be shown.
            text = render(self, record, _LONGEST_RECORD // _GROWTH).translate(_SAFE)
        return text


def _open_door(
    secret: str,
    channel: str,
    user: str,
    api_url: str,
    timeout: float,
    ca_file: str | None,
    bound: Bound,
) -> TokenDoor | WebhookDoor:
    try:
        import slack_sdk  # noqa: F401, PLC0415
    except ImportError as error:
        raise ConfigError(
            'Slack: slack_sdk is missing: pip install "lab_utils_mt[slack]"'
        ) from error
    from .posting import Post  # noqa: PLC0415
    from .slack_doors import TokenDoor, WebhookDoor  # noqa: PLC0415

    text = secret.strip() if isinstance(secret, str) else ""
    post = Post(tls_context(ca_file), bound)
    if _TOKEN.fullmatch(text):
        hide(text)
        if not channel:
            raise ConfigError("Slack: with a token, channel must name where to write")
        _check_address(api_url, f"api_url {redact(api_url)!r}")
        return TokenDoor(text, channel, user, api_url=api_url, timeout=timeout, post=post)
    if text.startswith(("https://", "http://")):
        _hide_address(text)
        _check_address(text, "the webhook's address")
        return WebhookDoor(text, user, timeout=timeout, post=post)
    raise ConfigError(
        "Slack: the secret is neither a token (xoxb-...) nor a webhook's address (https://...);"
        " it is not shown here"
    )


def _hide_address(address: str) -> None:
    path = urllib.parse.urlsplit(address).path
    parts = {part for part in path.split("/") if len(part) >= _LEAST_PART and part != "services"}
    for secret in {address, path, path.partition("/services/")[2], *parts}:
        hide(secret)


def _check_address(address: str, shown: str) -> None:
    if not address.isascii() or not address.isprintable() or " " in address:
        raise ConfigError(f"Slack: {shown} has characters that no address has")
    try:
        parts = urllib.parse.urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"Slack: {shown} is no address") from None
    if not host or "@" in parts.netloc:
        raise ConfigError(f"Slack: {shown} must name a host, and no user")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ConfigError(f"Slack: {shown} must begin with https://")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cause(error: Exception) -> Exception:
    """Return what urllib has wrapped."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, Exception) else error


def _told(answer: Answer, count: int) -> Exception:
    said = redact(answer.error)[:LONGEST_WORDS]
    if answer.status == _TOO_MANY or answer.error in {"ratelimited", "rate_limited"}:
        return TryLater(_patience(answer.headers))
    if answer.error in _ABOUT_THE_MESSAGE:
        return Refused(f"Slack says {said}", count)
    if answer.status in _REDIRECTS:
        return Undelivered(f"Slack is redirected ({answer.status}): {_MOVED}")
    if answer.status >= _FAULT_OF_SLACK:
        return Undelivered(f"Slack has a fault of its own ({answer.status}: {said})")
    advice = _ADVICE.get(answer.error, "see Slack's documentation of this error")
    return Undelivered(f"Slack refuses: {said} ({answer.status}): {advice}")


def _patience(headers: Mapping[str, str]) -> float:
    found = [value for name, value in headers.items() if name.lower() == "retry-after"]
    text = str(found[0]).strip() if found else ""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        return _PATIENCE
    return min(max(float(text), _APART), _MOST_PATIENCE)
