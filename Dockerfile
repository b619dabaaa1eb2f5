# The image of the production-like stack (docker-compose.yml). It installs with the script that
# `make setup` runs, so that what is tested is what is shipped.

FROM python:3.11.14-slim-bookworm AS tieout

# Another package index for the build: docker compose build --build-arg PIP_INDEX_URL=…
ARG PIP_INDEX_URL

ENV UV_NO_CACHE=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TIEOUT_HOME=/var/lib/tieout \
    AIRFLOW_HOME=/var/lib/tieout/airflow \
    PATH=/opt/tieout/.venv/bin:$PATH

WORKDIR /opt/tieout

COPY LICENSE pyproject.toml requirements-uv.txt requirements.txt ./
COPY bin/install bin/install
COPY plugins plugins
RUN bin/install

COPY dags dags
COPY dbt_project dbt_project
COPY docs docs

# The home and the drop are volumes; a new volume takes the owner of these folders.
RUN useradd --uid 50000 --home-dir /var/lib/tieout --create-home --shell /usr/sbin/nologin tieout \
    && mkdir -p /var/lib/tieout/docs /srv/drop/inbox /srv/drop/outbox \
    && chown -R tieout:tieout /var/lib/tieout /srv/drop/inbox /srv/drop/outbox
USER tieout

CMD ["tieout", "--help"]


# Where channels, banks and the platform lay their files: SFTP and nothing else, keys and no passwords.
# (The password '*' matches nothing; without it the account would count as locked.)
FROM debian:12.12-slim AS sftp

RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-server \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* \
    && useradd --uid 50000 --password '*' --home-dir / --no-create-home \
        --shell /usr/sbin/nologin drop \
    && mkdir -p /run/sshd /srv/drop/inbox /srv/drop/outbox /etc/ssh/keys \
    && chown drop:drop /srv/drop/inbox /srv/drop/outbox

COPY docker/sftp/sshd_config /etc/ssh/sshd_config
COPY docker/sftp/start /usr/local/bin/start

EXPOSE 2222
CMD ["/usr/local/bin/start"]
