"""How does a text come into Slack: by a token, or by a webhook?

By ``slack_sdk``, but for its way over the network: that follows redirects, takes any proxy, and has
no bound.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookResponse

from .posting import Post

if TYPE_CHECKING:
    from urllib.request import Request

_OK = 200

# How a message is to be shown: as it is, without links, mentions or pictures of its own.
_PLAIN: dict[str, Any] = {
    "mrkdwn": False,
    "parse": "none",
    "link_names": False,
    "unfurl_links": False,
    "unfurl_media": False,
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What Slack says of a message."""

    status: int
    error: str  #: Empty if the message is in the channel.
    headers: Mapping[str, str]


def _usual(timeout: float) -> dict[str, Any]:
    """Return what both clients are made with."""
    # slack_sdk logs addresses, which are secrets here, and every failure, which is told already.
    silent = logging.Logger("slack_sdk", logging.CRITICAL + 1)
    silent.disabled = True
    return {
        "timeout": timeout,
        "retry_handlers": [],
        "logger": silent,
        # Should a later slack_sdk not ask for the methods below any more, it gets nowhere.
        "proxy": "http://proxy.invalid:9",
    }


class TokenDoor(WebClient):
    """Sends with a token, into the channel that is asked for."""

    def __init__(
        self, token: str, channel: str, user: str, *, api_url: str, timeout: float, post: Post
    ) -> None:
        super().__init__(token, base_url=api_url, **_usual(timeout))
        self._post = post
        self._fields = {"channel": channel, **_PLAIN, **({"username": user} if user else {})}

    def say(self, text: str) -> Answer:
        """Send a message."""
        try:
            self.chat_postMessage(text=text, **self._fields)
        except SlackApiError as error:
            response = error.response
            said = str(response.get("error") or "no reason")
            return Answer(response.status_code, said, response.headers)
        return Answer(_OK, "", {})

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        reply = self._post.send(req, self.timeout)
        return {"status": reply.status, "headers": reply.headers, "body": reply.body}


class WebhookDoor(WebhookClient):
    """Sends to a webhook, into the channel that it belongs to."""

    def __init__(self, address: str, user: str, *, timeout: float, post: Post) -> None:
        super().__init__(address, **_usual(timeout))
        self._post = post
        self._fields = {**_PLAIN, **({"username": user} if user else {})}

    def say(self, text: str) -> Answer:
        """Send a message."""
        response = self.send_dict({"text": text, **self._fields})
        body = response.body.strip()
        # Not the status alone: whoever stands in between may say 200 with a page of its own.
        is_taken = response.status_code == _OK and body == "ok"
        return Answer(response.status_code, "" if is_taken else body or "nothing", response.headers)

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        reply = self._post.send(req, self.timeout)
        return WebhookResponse(
            url=url, status_code=reply.status, body=reply.body, headers=dict(reply.headers)
        )
