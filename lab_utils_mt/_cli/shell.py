"""How does somebody talk to a server for a while?

    lab-utils-mt shell :1507

TAB completes commands, options and their choices, and the line below tells what is expected.
``help`` explains all commands; ``watch NAME`` shows a poller's readings until Ctrl-C, which also
ends a command that takes too long; ``exit`` or Ctrl-D leave. The server goes on in all cases.

If the input is no terminal, its lines are sent one after another, and the replies go to the output;
the exit status is 1 if one of them was an error.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterable

from ..exceptions import LabUtilsError
from .reaching import FAILURE, complain, harmless, place, reason, seconds, show, text_of
from .talk import Talk, Wish

_FIRST_BYTES = 16
_SHELL_HELP = """
In this shell:
    watch NAME [--every S | --on-change D]
                          shows a poller's readings until Ctrl-C
    exit, or Ctrl-D       leaves the shell; the server goes on
    Ctrl-C                clears the line, or ends the wait for a reply
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where the server is."""
    parser.add_argument(
        "server", type=place, metavar="HOST:PORT", help="1507, :1507, host, host:1507, [::1]:1507"
    )
    parser.add_argument(
        "--timeout", type=seconds, metavar="S", help="for how long to wait for a reply, in s"
    )


def run(options: argparse.Namespace) -> int:
    """Talk; return the exit status."""
    is_terminal = all(one is not None and one.isatty() for one in (sys.stdin, sys.stdout))
    talk = Talk(options.server, options.timeout)
    try:
        if is_terminal:
            return _at_a_terminal(talk)
        talk.learn()
        return _lines(talk, sys.stdin or ())
    except BrokenPipeError:
        raise
    except (LabUtilsError, OSError) as error:
        complain("shell", error)
        return 1
    finally:
        talk.close()


def _at_a_terminal(talk: Talk) -> int:
    if importlib.util.find_spec("prompt_toolkit") is None:
        raise LabUtilsError(
            'the shell needs prompt-toolkit: run python -m pip install "lab_utils_mt[shell]"'
        )
    talk.learn()
    from .prompt import Prompt  # noqa: PLC0415  (only a terminal needs its package)

    converse(talk, Prompt(talk).read)
    return 0


# --- lines of a file or pipe -------------------------------------------------------------------


def _lines(talk: Talk, lines: Iterable[str]) -> int:
    good = True
    for line in map(str.strip, lines):
        if line == "exit":
            break
        if line:
            good = _send_line(talk, line) and good
    return 0 if good else 1


def _send_line(talk: Talk, line: str) -> bool:
    """Send one line and show the reply; return whether all is well."""
    try:
        wish = talk.wish(line)
        if wish is None:
            return show(talk.ask(line))
        for text in talk.readings(wish):
            print(text, flush=True)
        return True
    except BrokenPipeError:  # nobody reads on
        raise
    except (LabUtilsError, OSError) as error:
        complain("shell", error)
        return False


# --- a terminal --------------------------------------------------------------------------------


def converse(talk: Talk, read: Callable[[], str]) -> None:
    """Answer line after line, until somebody leaves.

    Args:
        talk: The server's side.
        read: Returns a line; raises KeyboardInterrupt for Ctrl-C, EOFError for Ctrl-D.
    """
    while True:
        try:
            line = read().strip()
            if line == "exit":
                return
            if line:
                _answer(talk, line, read)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _answer(talk: Talk, line: str, read: Callable[[], str]) -> None:
    try:
        wish = talk.wish(line)
        if wish is not None:
            _watch(talk, wish)
        elif line != "quit" or _is_meant(read):
            _print_reply(talk.ask(line))
            if line == "help":
                print(_SHELL_HELP.strip())
    except KeyboardInterrupt:
        print("\nnot waited for any longer; the command may still run on the server")
    except (LabUtilsError, OSError) as error:
        print(f"{FAILURE}{reason(error)}")


def _is_meant(read: Callable[[], str]) -> bool:
    print("quit stops the server, for all its clients; exit leaves the shell. Type quit again:")
    return read().strip() == "quit"


def _watch(talk: Talk, wish: Wish) -> None:
    print(f"watching {wish.name} until Ctrl-C")
    try:
        for text in talk.readings(wish):
            print(harmless(text), flush=True)
    except KeyboardInterrupt:
        print()


def _print_reply(reply: bytes) -> None:
    text = text_of(reply)
    if text is None:
        more = "..." if len(reply) > _FIRST_BYTES else ""
        print(f"{len(reply)} bytes: {reply[:_FIRST_BYTES].hex(' ')}{more}")
        return
    if text.startswith(FAILURE):
        text = text.partition("\n\n")[0]  # a refusal brings the whole help along
    print(harmless(text.rstrip("\n")))
