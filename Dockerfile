FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/liqmap
COPY requirements.lock .
RUN /opt/liqmap/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY liqmap liqmap
COPY bot bot
RUN /opt/liqmap/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
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
