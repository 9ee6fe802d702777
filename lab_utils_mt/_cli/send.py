"""What does a server answer to one command?

    lab-utils-mt send :1507 set_temperature 4.2 --ramp 2
    lab-utils-mt send lab-pc:1507 'log {pump is off}'

One word after HOST:PORT is sent as it stands; of several, each is one word for the server, whatever
is in it. The reply goes to the output.

The exit status is 0; 1 if the command failed or the server cannot be reached, which the error
output tells; 2 if the words here make no sense.
"""

from __future__ import annotations

import argparse

# Not of socket_comm: that imports what makes a server, too, and scripts send often.
from .._client.client import Client
from .._wire.text import quote
from ..exceptions import LabUtilsError
from .reaching import complain, place, seconds, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where to send what."""
    parser.usage = "%(prog)s [--timeout S] HOST:PORT command..."
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=30.0,
        metavar="S",
        help="for how long to wait for the reply, in s; default: 30",
    )
    parser.add_argument(
        "server", type=place, metavar="HOST:PORT", help="1507, :1507, host, host:1507, [::1]:1507"
    )
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="command",
        action=_AtLeastOne,
        help="all that follows belongs to it, options too; help explains all commands",
    )


class _AtLeastOne(argparse.Action):
    """Refuses to send nothing."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if not values:
            parser.error("which command? help explains all of them")
        setattr(namespace, self.dest, values)


def run(options: argparse.Namespace) -> int:
    """Send the command; return the exit status."""
    words = options.words
    line = words[0] if len(words) == 1 else " ".join(map(quote, words))
    host, port = options.server
    try:
        with Client(host=host, port=port, timeout=options.timeout) as client:
            reply = client.query_bytes(line)
    except (LabUtilsError, OSError) as error:
        complain("send", error)
        return 1
    return 0 if show(reply) else 1
