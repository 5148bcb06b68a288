"""A Dask scheduler and workers in the test's own event loop, and what they need to draw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import distributed
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from liqmap.run import dask_worker
from liqmap.run.dask import DaskPool
from liqmap.settings import EngineSettings, Settings, StorageSettings

_dask: Any = distributed


@asynccontextmanager
async def scheduler(port: int = 0, *, security: Any = None) -> AsyncIterator[Any]:
    """Run a scheduler on this machine."""
    async with _dask.Scheduler(
        host="127.0.0.1",
        port=port,
        protocol="tls" if security else "tcp",
        security=security,
        dashboard_address=":0",
        allowed_failures=3,
    ) as scheduler:
        yield scheduler


@asynccontextmanager
async def worker(address: str, *, security: Any = None) -> AsyncIterator[Any]:
    """Run a worker whose jobs run in a thread of this process."""
    async with _dask.Worker(
        address, nthreads=1, host="127.0.0.1", security=security, dashboard_address=":0"
    ) as worker:
        yield worker


def settings_of(address: str, folder: Path, **engine: Any) -> Settings:
    return Settings(
        storage=StorageSettings(path=folder),
        engine=EngineSettings(workers=1, executor="dask", dask_address=address, **engine),
    )


async def until_it_draws(pool: DaskPool, *, workers: int = 1) -> None:
    """Return once so many workers have passed their trial."""
    await until_seen(pool, lambda: pool.status.workers == workers)


async def until_seen(pool: DaskPool, seen: Callable[[], bool]) -> None:
    """Return once something is true of the pool, which looks at its scheduler meanwhile."""
    async with asyncio.timeout(30):
        while not seen():
            await asyncio.sleep(0.01)  # the others need the processor more
            with suppress(OSError):  # the scheduler is going
                await pool._link.look()


def forget_settings() -> None:
    """Let the workers of this process read their settings again."""
    dask_worker.worker_settings.cache_clear()
    dask_worker._shared_store.cache_clear()


def certificates(folder: Path) -> dict[str, str]:
    """Make an authority and a certificate of it; return the settings that name their files."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of a test")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bot")])
    files = {
        "dask_tls_ca": _signed(issuer, authority, issuer=issuer, by=authority),
        "dask_tls_cert": _signed(subject, key, issuer=issuer, by=authority),
        "dask_tls_key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for name, content in files.items():
        (folder / f"{name}.pem").write_bytes(content)
    return {name: str(folder / f"{name}.pem") for name in files}


def security_of(tls: dict[str, str]) -> Any:
    """Return the certificates for a scheduler and its workers."""
    ca, cert, key = (tls[f"dask_tls_{name}"] for name in ("ca", "cert", "key"))
    return _dask.Security(
        tls_ca_file=ca,
        tls_scheduler_cert=cert,
        tls_scheduler_key=key,
        tls_worker_cert=cert,
        tls_worker_key=key,
        require_encryption=True,
    )


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Name,
    by: ec.EllipticCurvePrivateKey,
) -> bytes:
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .sign(by, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
