# The controller's image: maintainer run --once, for a container that is started on a schedule. Instances have an image of their own (cloudinit/).
# Pin the base: docker build --build-arg BASE=python:3.13-slim-trixie@sha256:... .
ARG BASE=python:3.13-slim-trixie
FROM ${BASE}

WORKDIR /usr/src/maintainer
COPY pyproject.toml README.md LICENSE ./
COPY cloudinit cloudinit
COPY maintainer maintainer
RUN pip install --no-cache-dir --requirement cloudinit/requirements.lock && pip install --no-cache-dir --no-deps . && rm -rf /usr/src/maintainer

WORKDIR /
# Declared, or Fargate gives the task a /tmp that is root's alone.
VOLUME ["/tmp"]
USER 1000
ENTRYPOINT ["maintainer"]
CMD ["run", "--once", "--json"]
