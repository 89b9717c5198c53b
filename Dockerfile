# The io_uring driver is compiled in an image of its own: no compiler in the one that runs.
FROM debian:bookworm-slim AS build

RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev liburing-dev python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/walrus

# Dependencies have a layer of their own: it is built again only when pyproject.toml changes.
WORKDIR /opt/src
COPY pyproject.toml docker/requirements.py ./
RUN python3 requirements.py pyproject.toml > requirements.txt \
 && /opt/walrus/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

COPY setup.py LICENSE README.md ./
COPY walrus ./walrus
RUN /opt/walrus/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
 && rm -rf build ./*.egg-info \
 && /opt/walrus/bin/python -I -c 'import walrus.io.uring._liburing'
COPY docker/entrypoint.py docker/health.py /opt/walrus/


FROM debian:bookworm-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates liburing2 python3 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 walrus \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin walrus

# A virtual environment works where it was made: at the same path, with the same python3.
COPY --from=build /opt/walrus /opt/walrus

ENV PATH=/opt/walrus/bin:$PATH
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/walrus/bin/python", "-I", "-S", "/opt/walrus/health.py"]
# Starts as root to take ownership of /data, then is the node, as user walrus.
ENTRYPOINT ["/opt/walrus/bin/python", "/opt/walrus/entrypoint.py"]
