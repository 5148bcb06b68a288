# The same image for both stages, by its digest: a tag can be moved. Python 3.13.15 on Debian 13.
FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS build
WORKDIR /src
COPY requirements-build.lock requirements.lock ./
RUN python -m venv /opt/build && python -m venv /opt/liqmap \
    && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.lock \
    && /opt/liqmap/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY liqmap liqmap
COPY bot bot
# Without isolation the wheel is built by what the lock pins, not by what pip would fetch for it.
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/liqmap/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
RUN useradd --system --create-home --home-dir /data --uid 10001 liqmap
COPY --from=build /opt/liqmap /opt/liqmap
ENV PATH=/opt/liqmap/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    LIQMAP__STORAGE__PATH=/data \
    LIQMAP__HEALTH__PORT=8080
USER 10001
VOLUME /data
HEALTHCHECK --interval=60s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=5)"]
ENTRYPOINT ["liqmap-bot"]
