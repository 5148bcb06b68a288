from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bot.settings import BotSettings, load_bot_settings
from liqmap.errors import SettingsError
from liqmap.settings import BOT_SECTIONS, Settings, build_settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "liqmap.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_need_no_file():
    settings = load_settings()
    assert settings.exchanges.binance.archive_url == "https://data.binance.vision"
    assert settings.exchanges.bybit.archive_url == "https://public.bybit.com"
    assert settings.engine.max_window_days == 90


def test_example_loads_to_exactly_the_defaults():
    assert load_settings(EXAMPLE) == Settings()
    assert load_bot_settings(EXAMPLE) == BotSettings()


def keys(table: dict[str, Any], prefix: str = "") -> set[str]:
    return {
        name
        for key, value in table.items()
        for name in (keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"})
    }


def test_example_names_every_key():
    # The one default that differs by machine stands there as a comment.
    written_out = EXAMPLE.read_text().replace("# path =", "path =")
    assert keys(tomllib.loads(written_out)) == keys(BotSettings().model_dump())


def test_file_wins_over_defaults_and_environment_over_the_file(written, monkeypatch: pytest.MonkeyPatch):
    path = written('[engine]\nworkers = 3\nqueue_size = 5\n[storage]\npath = "/somewhere"\n')
    monkeypatch.setenv("LIQMAP__ENGINE__WORKERS", "4")
    settings = load_settings(path)
    assert (settings.engine.workers, settings.engine.queue_size) == (4, 5)
    assert settings.storage.path == Path("/somewhere")


def test_file_can_be_named_by_the_environment(written, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIQMAP_CONFIG", str(written("[engine]\nworkers = 7\n")))
    assert load_settings().engine.workers == 7


def test_engine_ignores_the_bot_s_sections(written):
    path = written('[discord]\napi_url = "http://127.0.0.1:1"\n[limits]\nmaps_per_user = 9\n')
    assert load_settings(path) == Settings()
    assert load_bot_settings(path).limits.maps_per_user == 9
    assert set(BotSettings.model_fields) - set(Settings.model_fields) == BOT_SECTIONS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[engine]\nworker = 2\n", "Setting engine.worker: unknown key."),
        ("[engin]\nworkers = 2\n", "Setting engin: unknown key."),
        ('[engine]\nworkers = "many"\n', "Setting engine.workers: input should be a valid integer"),
        ("[engine]\nworkers = 0\n", "Setting engine.workers: input should be greater than or equal to 1"),
        ('[storage]\nmax_size = "1 hectare"\n', "Setting storage.max_size: "),
        (
            '[exchanges.binance]\narchive_url = "ftp://x"\n',
            "Setting exchanges.binance.archive_url: must start",
        ),
        ("[download]\nattempts = 2\n", r"Setting download\.attempts: it is now network\.attempts\.$"),
        ('[network]\nproxy = "socks5://x:hush@p"\n', r"Setting network\.proxy: must start with http:// or h"),
        ("[engine\n", "is not valid TOML"),
        ("\xff", "is not valid TOML|cannot be read"),
    ],
)
def test_wrong_file_is_one_line_that_names_the_key(written, text: str, sentence: str):
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings(written(text))
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", sorted(keys(BotSettings().model_dump())))
def test_text_with_the_character_nul_is_one_line_that_names_the_key(written, key: str):
    for value in (r'"a\u0000b"', r'["a\u0000b"]'):
        with pytest.raises(SettingsError, match=rf"^Setting {re.escape(key)}(\.\d+)?: "):
            load_bot_settings(written(f"{key} = {value}"))


def test_name_of_a_file_with_the_character_nul_is_one_line():
    with pytest.raises(SettingsError, match=r"^The name of the settings file holds the character NUL\.$"):
        load_settings(Path("a\0b"))


def test_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", ["LIQMAP__ENGINE__WORKER", "LIQMAP__ENGIN__WORKERS", "LIQMAP__WORKERS"])
def test_unknown_variable_is_one_line_that_names_it(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "3")
    with pytest.raises(SettingsError, match="unknown key"):
        load_settings()


def test_variables_of_the_bot_do_not_disturb_the_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIQMAP__LIMITS__MAPS_PER_USER", "5")
    assert load_settings() == Settings()
    assert load_bot_settings().limits.maps_per_user == 5


def test_cluster_needs_an_address(tmp_path: Path):
    path = tmp_path / "liqmap.toml"
    path.write_text('engine.executor = "dask"\n')
    with pytest.raises(SettingsError, match=r"Setting engine: .*needs dask_address, such as tls://"):
        load_settings(path)
    path.write_text('engine.executor = "dask"\nengine.dask_address = "tcp://127.0.0.1:8786"\n')
    assert load_settings(path).engine.dask_address == "tcp://127.0.0.1:8786"


FAPI, STREAM = "https://fapi.binance.com/fapi/v1/time", "wss://stream.bybit.com/v5/public/linear"


def test_no_proxy_is_used_where_none_is_named():
    assert load_settings().network.proxy_for(FAPI) is None


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, FAPI, "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, FAPI, "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128"}, FAPI, "http://p:3128"),
        ({"HTTPS_PROXY": "https://u:w@p"}, STREAM, "https://u:w@p"),
        ({"HTTPS_PROXY": "http://p"}, "http://example.org", None),
        ({"HTTP_PROXY": "http://p"}, "ws://example.org", "http://p"),
        ({"HTTP_PROXY": "http://p"}, FAPI, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".binance.com"}, FAPI, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".binance.com"}, STREAM, "http://p"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, FAPI, None),
        ({"HTTPS_PROXY": ""}, FAPI, None),
        ({"ALL_PROXY": "socks5://p"}, FAPI, None),
        ({"HTTPS_PROXY": "http://p"}, "https://127.0.0.1:8443/x", None),
        ({"HTTPS_PROXY": "http://p"}, "wss://[::1]:8443/x", None),
        ({"HTTPS_PROXY": "http://p"}, "https://localhost/x", None),
        ({"LIQMAP__NETWORK__PROXY": "http://mine", "HTTPS_PROXY": "http://p"}, FAPI, "http://mine"),
        ({"LIQMAP__NETWORK__PROXY": "http://mine"}, "ws://example.org", "http://mine"),
        ({"LIQMAP__NETWORK__PROXY": "http://mine", "NO_PROXY": "binance.com"}, FAPI, None),
        ({"LIQMAP__NETWORK__PROXY": "http://mine"}, "http://127.0.0.1:1", None),
    ],
)
def test_proxy_setting_wins_over_the_environment(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings().network.proxy_for(url) == proxy


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "LIQMAP__NETWORK__PROXY"])
@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://user:hush@p:1080",
        "http://user:hush@[p",
        "http://user:hush@p:99999",
        "http://user:hush@p:port",
        "http://user:hush@",
        "http://user:hush@p\n:1",
    ],
)
def test_unsupported_proxy_is_one_line_that_hides_its_password(
    name: str, proxy: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, proxy)
    with pytest.raises(
        SettingsError, match=r"(HTTPS?_PROXY|network\.proxy:) must start with http:// or h"
    ) as caught:
        load_settings()
    assert "hush" not in str(caught.value)


def test_proxy_password_appears_in_no_text(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIQMAP__NETWORK__PROXY", "http://user:hush@p:3128")
    settings = load_settings()
    assert "hush" not in f"{settings} {settings!r} {settings.network!r} {settings.model_dump_json()}"


TLS = {"dask_tls_ca": "ca.pem", "dask_tls_cert": "bot.pem", "dask_tls_key": "bot-key.pem"}


@pytest.mark.parametrize(
    "engine",
    [
        {"dask_address": "tcp://127.0.0.1:8786"},
        {"dask_address": "tcp://[::1]:8786"},
        {"dask_address": "tcp://localhost:8786"},
        {"dask_address": "tcp://scheduler:8786", "dask_insecure": True},
        {"dask_address": "tls://scheduler:8786", **TLS},
    ],
)
def test_cluster_is_reached_encrypted_or_on_this_machine(engine: dict[str, object]):
    assert build_settings(Settings, {"engine": {"executor": "dask", **engine}}).engine.executor == "dask"


@pytest.mark.parametrize(
    ("engine", "problem"),
    [
        ({}, "needs dask_address"),
        ({"dask_address": "tcp://scheduler:8786"}, "anybody who reaches that port run programs as you"),
        ({"dask_address": "tls://scheduler:8786"}, "needs dask_tls_ca, dask_tls_cert and dask_tls_key"),
        ({"dask_address": "tls://scheduler:8786", **TLS, "dask_tls_key": ""}, "needs dask_tls_ca"),
        ({"dask_address": "tcp://127.0.0.1:8786", **TLS}, "must begin with tls://"),
        ({"dask_address": "scheduler:8786"}, "must be like tls://scheduler:8786"),
        ({"dask_address": "ws://scheduler:8786"}, "must be like tls://scheduler:8786"),
        ({"dask_address": "tls://scheduler:port"}, "must be like tls://scheduler:8786"),
    ],
)
def test_cluster_that_is_open_to_everybody_is_refused_in_a_sentence(engine: dict[str, object], problem: str):
    with pytest.raises(SettingsError, match=problem):
        build_settings(Settings, {"engine": {"executor": "dask", **engine}})
