from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import load_bot_settings, read_token
from liqmap.errors import SettingsError

TOKEN = "MTk4.Secret.Token"  # noqa: S105 - nobody's


def test_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISCORD_TOKEN", f" {TOKEN}\n")
    assert read_token().get_secret_value() == TOKEN


def test_token_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("DISCORD_TOKEN_FILE", str(tmp_path / "token"))
    assert read_token().get_secret_value() == TOKEN


@pytest.mark.parametrize("end", ["\r\n", "\n\n", " \t\r\n"])
def test_token_may_be_followed_by_line_breaks_of_any_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str
):
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbf" + (TOKEN + end).encode())
    monkeypatch.setenv("DISCORD_TOKEN_FILE", str(tmp_path / "token"))
    assert read_token().get_secret_value() == TOKEN
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN + end)
    assert read_token().get_secret_value() == TOKEN


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\r", " ", "\u200b", "é", '"', "\x7f"])
def test_token_with_anything_else_inside_is_one_sentence_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inside: str
):
    token = TOKEN[:6] + inside + TOKEN[6:]
    (tmp_path / "token").write_text(token, encoding="utf-8")
    monkeypatch.setenv("DISCORD_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(
        SettingsError, match=r"^The file that DISCORD_TOKEN_FILE names holds more than a token: .*\.$"
    ) as caught:
        read_token()
    monkeypatch.setenv("DISCORD_TOKEN", token)
    with pytest.raises(SettingsError, match=r"^DISCORD_TOKEN holds more than a token: ") as other:
        read_token()
    assert TOKEN[:6] not in f"{caught.value} {other.value}"


def test_token_shows_in_no_text(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    assert TOKEN not in f"{read_token()} {read_token()!r} {load_bot_settings()!r}"


def test_missing_token_says_what_to_do():
    with pytest.raises(SettingsError, match=r"set DISCORD_TOKEN .* or run `python -m bot playground`"):
        read_token()


def test_missing_token_file_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DISCORD_TOKEN_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=r"^The file that DISCORD_TOKEN_FILE names cannot be read\.$"):
        read_token()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('discord.gateway_url = "https://x"', "must start with wss:// or ws://"),
        ('discord.api_url = "discord.com"', "must start with https:// or http://"),
        ("limits.maps_per_user = 0", "Setting limits.maps_per_user: input should be greater"),
    ],
)
def test_wrong_value_is_one_line_that_names_the_key(text: str, sentence: str, tmp_path: Path):
    (tmp_path / "liqmap.toml").write_text(text)
    with pytest.raises(SettingsError, match=sentence):
        load_bot_settings(tmp_path / "liqmap.toml")
