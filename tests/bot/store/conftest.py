"""Databases to store in: a SQLite file, and a PostgreSQL server where one can be started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bot.settings import BotSettings, DatabaseSettings
from bot.store import Store, open_store
from tests.bot.conftest import APPLICATION, put_database

PASSWORD = "pass-of-this-test"  # noqa: S105 - of a server that lives for a test run


def _programs() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return places[-1] if places else None


class PostgresServer:
    """A PostgreSQL on this machine, in a folder of its own. It refuses to be root's."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def start(self) -> None:
        (self._folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            shutil.chown(self._folder / "password", "postgres", "postgres")
        self._run(
            *(
                "initdb",
                "-D",
                str(self._folder / "data"),
                "-U",
                "liqmap",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
            ),
            *("--no-sync", "--no-instructions", "--locale=C", f"--pwfile={self._folder / 'password'}"),
        )
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
            " -c shared_buffers=16MB"
        )
        self._run(
            "pg_ctl",
            "-D",
            str(self._folder / "data"),
            "-w",
            "-o",
            options,
            "-l",
            str(self._folder / "log"),
            "start",
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://liqmap:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(  # noqa: S603 - programs of PostgreSQL itself
            [*as_user, str(self._programs / program), *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt-get install postgresql)")
    # Not below pytest's own folder: that is root's alone.
    folder = Path(tempfile.mkdtemp(prefix="liqmap-postgres-"))
    server = PostgresServer(programs, folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database; '' for the SQLite file in the storage folder."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex}"
    engine = create_async_engine(
        server.url("postgres").replace("postgresql:", "postgresql+asyncpg:"), isolation_level="AUTOCOMMIT"
    )
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return server.url(name)


@pytest.fixture
def stored_settings(settings: BotSettings, database: str) -> BotSettings:
    return settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(database))})


@pytest.fixture
async def store(stored_settings: BotSettings, database: str, new_database: Path) -> AsyncIterator[Store]:
    if not database:
        put_database(new_database, stored_settings)
    async with open_store(stored_settings) as store:
        yield await store.of(APPLICATION)
