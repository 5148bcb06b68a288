from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.ops.secrecy import HIDDEN, pattern_of, secrets_of, withhold_secrets
from bot.settings import load_bot_settings

FORMS: list[Callable[[str], str]] = [
    lambda text: text,
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    repr,
    ascii,
    lambda text: repr(text.encode()),
    lambda text: str({"url": f"https://bot:{text}@host"}),
]
URL_FORMS: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: quote(text, safe=""),
    quote,
    quote_plus,
    lambda text: quote(quote(text)),
]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.sampled_from(URL_FORMS),
    st.lists(st.sampled_from(FORMS), max_size=4),
)
@example("pa\"ss\\wo'rd", URL_FORMS[0], [FORMS[1]])
@example("pa\"ss\\wo'rd", URL_FORMS[0], [FORMS[3], FORMS[1], FORMS[5]])
@example("\\\\", URL_FORMS[0], [FORMS[1], FORMS[3]])
@example("é\n😀 ", URL_FORMS[3], [FORMS[4]])
def test_secret_is_found_however_it_is_escaped(
    secret: str, in_url: Callable[[str], str], chain: list[Callable[[str], str]]
):
    text, nothing = in_url(secret), "\N{OBJECT REPLACEMENT CHARACTER}"
    around = nothing
    for escaped in chain:
        text, around = escaped(f"<{text}>"), escaped(f"<{around}>")
    found = pattern_of([secret]).sub(HIDDEN, text)
    # What is left is what stood around it, so nothing of the secret is.
    left = found.replace(HIDDEN, "")
    assert HIDDEN in found
    assert len(left) <= len(around)


def test_longer_secret_is_hidden_before_a_shorter_one_in_it():
    hidden = pattern_of(["pass", "", "password"]).sub(HIDDEN, "the password, the pass")
    assert hidden == "the [hidden], the [hidden]"


def test_log_without_secrets_hides_nothing():
    assert pattern_of([]).sub(HIDDEN, "a line") == "a line"


@pytest.mark.parametrize("secret", ["\\\\\\", "a\\\\\\b", "abc"])
def test_line_of_backslashes_takes_no_time(secret: str):
    began = time.process_time()
    pattern_of([secret]).sub(HIDDEN, "\\" * 100_000)
    assert time.process_time() - began < 5


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put a secret into every place that can hold one; return the settings file."""
    monkeypatch.setenv("DISCORD_TOKEN", "the-token")
    monkeypatch.setenv("LIQMAP__DATABASE__URL", "postgresql://bot:in%21url@host/name")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:proxy-word@host:8080")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-word")
    (tmp_path / "liqmap.toml").write_text('storage.shared_url = "s3://key:s3-word@bucket/prefix"\n')
    return tmp_path / "liqmap.toml"


def test_secrets_are_those_of_settings_and_environment(secretive: Path):
    assert set(secrets_of(load_bot_settings(secretive))) == {
        "the-token",
        "postgresql://bot:in%21url@host/name",
        "in!url",
        "proxy-word",
        "aws-word",
        "s3-word",
    }


def test_token_of_a_file_is_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "token").write_text("of-a-file\n")
    monkeypatch.setenv("DISCORD_TOKEN_FILE", str(tmp_path / "token"))
    assert secrets_of(load_bot_settings()) == ["of-a-file"]


def test_withheld_secrets_leave_the_environment(secretive: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIQMAP__ENGINE__WORKERS", "3")
    before = set(os.environ)
    withhold_secrets(load_bot_settings(secretive))
    assert before - set(os.environ) == {"DISCORD_TOKEN", "LIQMAP__DATABASE__URL"}
