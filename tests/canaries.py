"""Does a secret of the tests turn up in what a test wrote? Every test is asked.

These stand in all places where configurations have secrets; nothing may ever show them.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Generator

import pytest

USER = "cryostat"
PASSWORD = "canary/Password+4711"
TOKEN = "xoxb-canary-0000-token"
WEBHOOK_PATH = "/services/T0CANARY/B0CANARY/canarywebhooksecret"
DATABASE_PASSWORD = "canary'database-0815"

_SECRETS = (PASSWORD, TOKEN, WEBHOOK_PATH, "canarywebhooksecret", DATABASE_PASSWORD)


def _forms(secret: str) -> set[str]:
    both = base64.b64encode(f"\0{USER}\0{secret}".encode()).decode()  # SMTP's AUTH PLAIN
    return {
        secret,
        urllib.parse.quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
        both,
    }


CANARIES = frozenset(form for secret in _SECRETS for form in _forms(secret))


def found_in(text: str) -> list[str]:
    """Return the secrets that a text shows."""
    return sorted(canary for canary in CANARIES if canary in text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose output shows a secret."""
    report = yield
    seen = found_in("\n".join(text for _, text in report.sections))
    if seen and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} shows {len(seen)} secrets in its output"
    return report
