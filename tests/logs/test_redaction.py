"""Is a secret hidden wherever it turns up, and nothing else?"""

import base64
import html
import json
import time
import urllib.parse

import pytest

from lab_utils_mt._logs import redaction
from lab_utils_mt._logs.redaction import hide, is_secret_name, redact


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
        urllib.parse.quote,
        lambda text: (
            urllib.parse.quote(text, safe="")
            .replace("%2F", "%2f")
            .replace("%5C", "%5c")
            .replace("%C3%A4", "%c3%a4")
        ),
        html.escape,
        lambda text: html.escape(text, quote=False),
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
        ("password: s3cret", "password: ***"),
        ('{"password": "s3cret", "x": 1}', '{"password": ***, "x": 1}'),
        ('{"password":"s3cret","x":1}', '{"password":***,"x":1}'),
        ('"{\\"password\\": \\"two words\\", 1}"', '"{\\"password\\": ***, 1}"'),
        ("{'password': 's3cret'}", "{'password': ***}"),
        ("{'password': b'two words'}", "{'password': ***}"),
        ("password= s3cret", "password= ***"),
        ("password=ab,cd;ef)gh x", "password=*** x"),
        ("""password=ab"cd'ef x""", "password=*** x"),
        (r"password='it\'s secret' x", "password=*** x"),
        ('password="two words" x', "password=*** x"),
        ("password='two words\nnext", "password=***\nnext"),
        (r"password\n=\ns3cret x", r"password\n=\n*** x"),
        ("passwd = s3cret", "passwd = ***"),
        ("PaSSword=s3cret", "PaSSword=***"),
        ("PGPASSWORD: s3cret", "PGPASSWORD: ***"),
        ("pwd=s3cret", "pwd=***"),
        ("user=me passwd=s3cret", "user=me passwd=***"),
        ("token=s3cret", "token=***"),
        ("password => s3cret", "password => ***"),
        ("api_key=s3cret, apiKey: s3cret", "api_key=***, apiKey: ***"),
        ("client_secret=s3cret SECRET_KEY=s3cret", "client_secret=*** SECRET_KEY=***"),
        ("Authorization: Bearer s3cret x", "Authorization: *** x"),
        ("Authorization: Basic czNjcmV0 x", "Authorization: *** x"),
        ("('Authorization', 'Bearer s3cret')", "('Authorization', 'Bearer ***')"),
        ("sent Bearer s3cret", "sent Bearer ***"),
        ("https://s3cret@host/x", "https://***@host/x"),
        ("postgresql://me:s3/cr@et@host/x", "postgresql://***@host/x"),
        ("hooks.slack.com%2Fservices%2FT0%2FB0%2Fx1 ok", "hooks.slack.com%2F*** ok"),
        ("https://hooks.slack-gov.com/services/T0", "https://hooks.slack-gov.com/***"),
        ("hooks.slack.com:443/services/T0", "hooks.slack.com:443/***"),
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
        "password=None, token: none given, secret: null",
        '{"password": null, "token": false}',
        "a token is missing: 3 of them; token_count=3, tokens: 5",
        "compass = 3.4, low_pass=5, bypass: yes, band pass: 3 kHz",
        "key = 3, monkey: 4, secretary: me",
        "the bearer token is wrong; Bearer authentication failed",
        "postgresql://me@db.lab/cryo",
        "http://localhost:1507/mail?to=me@lab.org",
        "https://lab.org/a@b",
    ],
)
def test_other_text_stays(text):
    """Also if it has something of it."""
    assert redact(text) == text


@pytest.mark.parametrize("name", ["password", "DB_PASSWORD", "apiKey", "passwd", "client-secret"])
def test_a_key_may_be_called_like_a_secret(name):
    """Then its value is one."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["compass", "low_pass", "pass", "tokens", "password_age", "key", ""]
)
def test_other_keys_are_not(name):
    """They would lose their values."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "part",
    [
        *("password", "password ", "password='", 'password="\\', "password=,", "password=\\n"),
        *("://", "://a:", "://a:b/c@", "https://a", "Bearer ", "hooks.slack.com/", "xoxb-"),
        *('password=\\"', "authorization: basic ", "\\", " ", ",", "a:", "x", "'\""),
    ],
)
def test_the_time_it_takes_grows_as_the_text_does(part):
    """Nobody can hold up a sink; 100,000 characters take some 10 ms."""
    text = "password" + part * (100_000 // len(part))
    begin = time.monotonic()
    for start in ("", "='", "://u:"):
        redact(start + text + start)
    assert time.monotonic() - begin < 2
