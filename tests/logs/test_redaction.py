"""Is a secret hidden wherever it turns up, and nothing else?"""

import base64
import json
import urllib.parse

import pytest

from lab_utils_mt._logs import redaction
from lab_utils_mt._logs.redaction import hide, redact


@pytest.fixture(autouse=True)
def no_memory(monkeypatch):
    """Secrets of one test are not those of the next."""
    monkeypatch.setattr(redaction, "_secrets", frozenset())
    monkeypatch.setattr(redaction, "_known", None)


SECRET = 'pä"ss\\w 0rd/%'


@pytest.mark.parametrize(
    "disguise",
    [
        str,
        repr,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus,
        lambda text: base64.b64encode(text.encode()).decode(),
    ],
)
def test_a_known_secret_is_hidden_in_its_usual_disguises(disguise):
    """As libraries put it into their messages."""
    shown = disguise(SECRET)
    assert shown.strip("'\"") in redact(f"login with {shown} failed")
    hide(SECRET)
    hidden = redact(f"login with {shown} failed")
    assert shown.strip("'\"") not in hidden
    assert "***" in hidden
    assert hidden.startswith("login with ")
    assert hidden.endswith(" failed")


def test_a_secret_that_is_part_of_another_leaves_nothing_of_it():
    """The longer one goes first."""
    hide("secret")
    hide("secret-and-more")
    assert redact("secret-and-more secret") == "*** ***"


def test_a_very_short_one_makes_no_holes():
    """It could be anywhere."""
    hide("ab")
    hide("")
    assert redact("about") == "about"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("token xoxb-123-abc.", "token ***."),
        ("xoxe.xoxp-1-Mi0y", "***"),
        ("to https://hooks.slack.com/services/T0/B0/x1 ok", "to https://hooks.slack.com/*** ok"),
        ("at postgresql://me:s3cret@db.lab/cryo", "at postgresql://***@db.lab/cryo"),
        ("https://a:b:c@host", "https://***@host"),
        ("host=db password=s3cret user=me", "host=db password=*** user=me"),
        ("password='two words' x", "password=*** x"),
        ("PASSWORD=x1, y", "PASSWORD=***, y"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden(text, hidden):
    """Of the kinds that labs have."""
    assert redact(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:1507/status at 12:30",
        "mail to me@lab.org://x",
        "the password is wrong",
        "axoxb",
        "ratio 3:4@5",
        "hooks.slack.com does not answer",
    ],
)
def test_other_text_stays(text):
    """Also if it has something of it."""
    assert redact(text) == text
