# The portal as an image: built from the lock, run as nobody in particular, nothing writable but /data and /tmp.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
COPY .ci/uv.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r uv.txt
COPY pyproject.toml uv.lock README.md LICENSE .env.example ./
COPY alembic alembic
COPY src src
ENV UV_PROJECT_ENVIRONMENT=/opt/portal UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN uv sync --locked --no-dev --all-extras --no-editable

FROM python:3.13-slim-bookworm
# libmagic parses hostile bytes: Debian's has security updates, the one that a wheel carries has none.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libmagic1 \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 portal \
    && useradd --uid 10001 --gid portal --home-dir /data --no-create-home --shell /usr/sbin/nologin portal \
    && install -d -o portal -g portal -m 0700 /data
COPY --from=build /opt/portal /opt/portal
ENV PATH=/opt/portal/bin:$PATH PYTHONUNBUFFERED=1 PORTAL_ENV=production PORTAL_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:8000/readyz', headers={'Host': 'localhost'}), timeout=4)"]
CMD ["portal", "serve", "--host", "0.0.0.0"]
