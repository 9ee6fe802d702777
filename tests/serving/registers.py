"""Is what the clients of a register saw the history of one register?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

GET, SET, INCREMENT = "get", "swap", "increment"


@dataclasses.dataclass(frozen=True)
class Operation:
    """What a client did, and what it was told.

    Attributes:
        kind: GET, SET or INCREMENT.
        before: The value that the client was told was there before.
        after: The value that was there afterwards.
        invoked: Time before the request was sent.
        responded: Time when the reply was there.
    """

    kind: str
    before: int
    after: int
    invoked: float
    responded: float


def fault_of(histories: Sequence[Sequence[Operation]], value: int) -> str | None:
    """Return why no order of the operations explains them all, or None if one does.

    Each client's operations are in its order, and an operation that had its reply comes before one
    that was not yet sent. An operation tells the value before it, and no value comes back once it
    was changed: so at each moment only one change can be next, and it comes after all that saw the
    value before it. There is nothing to choose, and the search needs no way back.

    Args:
        histories: The operations of each client.
        value: What the register held at first.
    """
    nexts = [0] * len(histories)
    for _ in range(sum(map(len, histories))):
        heads = [
            (client, history[at])
            for client, (history, at) in enumerate(zip(histories, nexts, strict=True))
            if at < len(history)
        ]
        fitting = [head for head in heads if head[1].before == value]
        if not fitting:
            return f"nothing can follow the value {value}: next are {heads}"
        client, one = min(fitting, key=lambda head: (head[1].kind != GET, head[1].responded))
        late = [other for _, other in heads if other.responded < one.invoked]
        if late:
            return f"{one} was sent after the reply to {late[0]}, and comes before it"
        nexts[client] += 1
        value = one.after
    return None
