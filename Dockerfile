# The operator. Everything that goes in is pinned by hash: requirements-runtime.lock (what runs), requirements-build.lock (what
# makes the wheel). BASE may be any Debian-like image with python3 >= 3.11 and its venv module.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# Both are read by pip itself; set them to install from a folder of wheels instead of an index.
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY requirements-runtime.lock requirements-build.lock ./
RUN python3 -m venv /opt/solera && /opt/solera/bin/pip install --no-compile --require-hashes -r requirements-runtime.lock
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --no-compile --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/solera/bin/pip install --no-compile --no-index --no-deps dist/*.whl \
 && /opt/solera/bin/pip check \
 && /opt/solera/bin/pip uninstall --yes pip \
 # Compiled once, here: at run time the file system is read-only, and a build may set file times that no source has.
 && /opt/solera/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/solera/lib

FROM ${BASE}
COPY --from=build /opt/solera /opt/solera
ENV PATH=/opt/solera/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Numeric, so that a pod with runAsNonRoot is admitted without a look into /etc/passwd.
USER 65532:65532
ENTRYPOINT ["solera", "operator", "run"]
