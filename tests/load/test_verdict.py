"""Which replies are good ones."""

from __future__ import annotations

import pytest

from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.verdict import Judge


@pytest.mark.parametrize(
    ("reply", "is_good"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{"error":"none seen"}}', True),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}', False),
        (b'{"id":1,"result":7,"error":null}', True),
        (b'{"id":1,"result":null,"error":{"code":1}}', False),
        (b'{"id":1,"error":"no such method"}', False),
        (b'[{"id":1,"result":{"error":null}},{"id":2,"result":"error"}]', True),
        (b'[{"id":1,"result":1},{"id":2,"error":{"code":1,"message":"no"}}]', False),
        (b'Error! server full "error"', False),
    ],
)
def test_an_error_is_one_of_the_answer_not_of_its_result(reply: bytes, is_good: bool) -> None:
    """In JSON-RPC 2.0 and 1.0, alone and in a batch; a reading may be called error, too."""
    judge = Judge(Plan("127.0.0.1", 1, b'{"method":"read","id":1}\n'))
    assert (judge.complaint(reply) is None) is is_good
