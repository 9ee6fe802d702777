"""How does a line come from a terminal, with completion and history?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import platformdirs
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from .reaching import harmless
from .talk import Talk


class Prompt:
    """A line editor that knows the server's commands.

    Args:
        talk: The server's side.
        history: A file that keeps the lines; one of the user's by default.
    """

    def __init__(self, talk: Talk, history: Path | None = None) -> None:
        self._talk = talk
        self._session: PromptSession[str] = PromptSession(
            completer=VocabularyCompleter(talk),
            history=_history(history),
            complete_in_thread=False,
            bottom_toolbar=self._hint,
        )

    def read(self) -> str:
        """Return a line.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
            EOFError: Ctrl-D was pressed in an empty line.
        """
        title = self._talk.vocabulary.title.lower() or self._talk.name
        return self._session.prompt(f"{_in_one_line(title)}> ")

    def _hint(self) -> str:
        text = self._session.default_buffer.document.current_line_before_cursor
        hint = _in_one_line(self._talk.vocabulary.hint(text))
        return hint or "help explains all commands; exit leaves; TAB completes"


class VocabularyCompleter(Completer):
    """Completes what is in the vocabulary.

    Args:
        talk: Has the vocabulary, which changes when the server is restarted.
    """

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Completion]:
        """Return what may stand in place of the word before the cursor."""
        text = document.current_line_before_cursor
        begun = len(text) - max(text.rfind(" "), text.rfind("\t")) - 1
        for one in self._talk.vocabulary.suggest(text):
            yield Completion(one.word, -begun, display_meta=_in_one_line(one.meaning) or None)


def _in_one_line(text: str) -> str:
    return " ".join(harmless(text).split())


def _history(path: Path | None) -> History:
    try:
        if path is None:
            folder = platformdirs.user_state_path("lab_utils_mt", appauthor=False)
            path = folder / "shell_history"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("ab"):  # may it be written?
            return _FileHistory(str(path))
    except OSError:
        return InMemoryHistory()


class _FileHistory(FileHistory):
    """A disk that is full must not end the shell."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)
