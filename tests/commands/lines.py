"""Lines that clients might send, good and bad, made from a seed."""

from __future__ import annotations

import json
import random

CHUNK = 200  # lines that are sent before their replies are read
MOST_BYTES = 40_000  # of a chunk; the sockets' buffers take more

METHODS = [
    *("heat", "mode", "names", "echo", "lost", "fail"),
    *("unsendable", "old", "ping", "help", "status", "rpc.discover"),
]
ODD_METHODS = ["", "rpc.nothing", "Heat", "heat ", "größe", "__init__", "a" * 300, "quit2"]
RAW = [  # as JSON text
    *("1", "0", "-1", "4.2", "300", "300.0001", "1e400", "-1e400", "1e-400", "1.0", "-0", "-0.0"),
    *("9" * 20, "-" + "9" * 30, "1" + "0" * 309, "7" * 5000, "true", "false", "null", '"4.2"'),
    *('"FAST"', '"a"', '""', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"größe ☃"', '"1_0"'),
    *(
        '"１２"',
        "[]",
        "{}",
        "[1]",
        '["a", "b"]',
        '[["a"]]',
        '{"a": 1}',
        "[null]",
        "NaN",
        "01",
        "+1",
    ),
    *("'a'", '"\\x"', "1.", ".5", '"' + "x" * 500 + '"', "[" * 90 + "]" * 90),
]
IDS = [
    *("1", "2.5", "-7", "1e2", '"a"', '""', "null", '"\\u00e9"', "18446744073709551616", "1e-7"),
    *("true", "[1]", "{}", "9" * 40, "1e400", "-0", "0.1", '"\\ud800"', "4.0"),
]
NAMES = ["kelvin", "ramp", "fast", "mode", "number", "names", "how", "text", "words", "x", "self"]
TEXT_WORDS = [
    *METHODS[:-1],
    *("4.2", "-1e-3", "nan", "-inf", "1_0", "１２", "--ramp", "--fast", "--no-fast", "--ramp=2"),
    *(
        "--",
        "-",
        "--x",
        "-h",
        "{a b}",
        '"a b"',
        '"\\ud800"',
        '"\\n"',
        "{",
        "}",
        '"',
        "none",
        "FAST",
    ),
    *(
        "1",
        "2",
        "a",
        "b",
        "--number",
        "--how",
        "5",
        "☃",
        "größe",
        "\u2028",
        "\u202e",
        "%s",
        "%(x)s",
    ),
    *("--y", "x" * 300, "status", "staus", "\t", "#12", "Error!", "null", "true"),
]


class Generator:
    """Makes lines from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self) -> str:
        """Return some JSON, often valid."""
        return self.random.choice(RAW)

    def params(self) -> str:
        """Return params of any kind."""
        kind, count = self.random.random(), self.random.randrange(4)
        if kind < 0.45:
            return "[" + ", ".join(self.value() for _ in range(count)) + "]"
        if kind < 0.9:
            names = (self.random.choice(NAMES) for _ in range(count))  # the same may come twice
            return "{" + ", ".join(f'"{name}": {self.value()}' for name in names) + "}"
        return self.value()

    def request(self) -> str:
        """Return a request object as JSON, with faults now and then."""
        odd = self.random.random
        method = json.dumps(self.random.choice(METHODS if odd() < 0.9 else ODD_METHODS))
        members = [
            '"jsonrpc": "2.0"' if odd() < 0.95 else f'"jsonrpc": {self.value()}',
            f'"method": {method if odd() < 0.95 else self.value()}',
        ]
        if odd() < 0.8:
            members.append(f'"params": {self.params()}')
        if odd() < 0.85:
            members.append(f'"id": {self.random.choice(IDS)}')
        if odd() < 0.1:
            members.append(self.random.choice(['"more": 1', '"id": 5', '"method": "ping"']))
        if odd() < 0.2:
            self.random.shuffle(members)
        return "{" + ", ".join(members if odd() < 0.98 else members[:1]) + "}"

    def json_line(self) -> str:
        """Return a request, a batch or something that is only like it."""
        kind = self.random.random()
        if kind < 0.7:
            return self.request()
        if kind < 0.9:
            odd = (self.value(), "1", "[]", self.request())
            parts = [
                self.request() if self.random.random() < 0.85 else self.random.choice(odd)
                for _ in range(self.random.randrange(6))
            ]
            return "[" + ", ".join(parts) + "]"
        if kind < 0.902:
            return "[" * 20_000 + "]" * self.random.choice([20_000, 5])
        line = self.request()
        at = self.random.randrange(2, len(line))
        return line[:at] + self.random.choice(["", "}", '"', "é", "\\", " ", ",", line[at:] + "x"])

    def text_line(self) -> str:
        """Return words that are a command, or nearly."""
        words = [self.random.choice(TEXT_WORDS) for _ in range(self.random.randrange(5))]
        if self.random.random() < 0.7:
            words.insert(0, self.random.choice(METHODS[:-2]))
        return self.random.choice([" ", "  ", "\t"]).join(words)

    def line(self) -> str:
        """Return a line of either dialect."""
        return self.json_line() if self.random.random() < 0.6 else self.text_line()

    def chunk(self) -> list[str]:
        """Return lines that are sent at once."""
        lines: list[str] = []
        while len(lines) < CHUNK and sum(map(len, lines)) < MOST_BYTES:
            lines.append(self.line())
        return lines

    def deadly(self) -> bytes:
        """Return a line that must end the connection."""
        line = self.line().encode()
        at = self.random.randrange(len(line) + 1)
        bad = [b"\0", b"\x1b", b"\xff", b"\xc3\x28", b"\x7f", b"\xc2\x85", b"a\rb"]
        poisoned = line[:at].decode(errors="ignore").encode() + self.random.choice(bad)
        return self.random.choice([poisoned, b"Host: lab", b"x" * 70_000])
