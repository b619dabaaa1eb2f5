"""The production-like stack in containers: what its tests start, ask and tear down.

One stack has a project name, ports and secrets of its own, so that it meets no other on the
machine. Services are started in the order of the compose file's own conditions, and health is asked
with its own checks: Debian's podman does neither by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import yaml

PROJECT = Path(__file__).resolve().parents[1]
COMPOSE_FILE = PROJECT / "docker-compose.yml"
WORKER_FILE = PROJECT / "docker-compose.worker.yml"
NAME_PREFIX = "tieout-test-"
LOCALHOST = "127.0.0.1"
LONG_SECONDS, SHORT_SECONDS = 900, 120

Answer = TypeVar("Answer")


class StackError(AssertionError):
    """The stack did not do what it should; the text says which container said what."""


@dataclass(frozen=True)
class Engine:
    """A container engine: its command, its compose command, and the settings both need."""

    command: str
    compose: tuple[str, ...]
    environment: Mapping[str, str]

    def run(
        self, *arguments: str, check: bool = True, seconds: float = SHORT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine."""
        return run([self.command, *arguments], self.environment, check, seconds)


def find_engine() -> Engine | None:
    """Return what `bin/stack-engine` brought, else the machine's own, or None."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = os.environ.get("STACK_ENGINE") or f"{cache}/tieout/engine"
    settings = Path(folder).expanduser() / "env"
    podman_compose = (sys.executable, "-m", "podman_compose")
    if settings.is_file():
        lines = settings.read_text().split()
        ours = dict(line.split("=", 1) for line in lines)
        candidates = [Engine("podman", podman_compose, ours)]
    else:
        candidates = [
            Engine("docker", ("docker", "compose"), {}),
            Engine("podman", podman_compose, {"DISABLE_HC_SYSTEMD": "true"}),
        ]
    for engine in candidates:
        if shutil.which(engine.command) and engine.run("info", check=False).returncode == 0:
            return engine
    return None


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    check: bool = True,
    seconds: float = SHORT_SECONDS,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        words,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=PROJECT,
    )
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr)[-3000:]
        raise StackError(f"{shlex.join(words[:8])} … ended with {done.returncode}:\n{said}")
    return done


def hosts_in(folder: Path) -> set[str]:
    """Return the hosts of the addresses in the files of a folder."""
    text = "".join(path.read_text() for path in folder.iterdir())
    return set(re.findall(r"https?://(?:[^/@\s]*@)?([a-z0-9.-]+)", text))


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


def wait_for(
    what: str, ask: Callable[[], Answer | None], seconds: float, every: float = 1.0
) -> Answer:
    """Ask until there is an answer; errors of somebody who is not up yet are none."""
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            answer = ask()
        except (OSError, asyncssh.Error, StackError) as error:
            last, answer = error, None
        if answer is not None:
            return answer
        time.sleep(every)
    raise StackError(f"{what}: not within {seconds:.0f} s ({last!r})")


@dataclass(frozen=True)
class Composed:
    """One compose project that runs: its files, its name and its variables."""

    engine: Engine
    name: str
    files: tuple[Path, ...]
    variables: Path
    services: Mapping[str, Any]

    def compose(self, *arguments: str, seconds: float = SHORT_SECONDS) -> str:
        """Run a command of the compose program on this project."""
        files = [word for file in self.files for word in ("-f", str(file))]
        words = [*self.engine.compose, "-p", self.name, *files, "--env-file", str(self.variables)]
        return run([*words, *arguments], self.engine.environment, True, seconds).stdout

    def container(self, service: str) -> str:
        """Return the name of a service's container, running or ended."""
        found = self.engine.run(
            "ps",
            "--all",
            "--format",
            "{{.Names}}",
            "--filter",
            f"label=com.docker.compose.project={self.name}",
            "--filter",
            f"label=com.docker.compose.service={service}",
        ).stdout.split()
        assert len(found) == 1, (service, found)
        return found[0]

    def start(self, *names: str) -> None:
        """Start services, each when what it depends on is as its conditions say."""
        for name in names:
            for needed, how in self.services[name].get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    self.wait_healthy(needed)
                else:
                    self.wait_completed(needed)
            self.compose("up", "--detach", "--no-build", "--no-deps", name)

    def wait_healthy(self, service: str, seconds: float = 300) -> None:
        """Wait until the service's own health check holds."""
        container = self.container(service)
        test = self.services[service]["healthcheck"]["test"]
        assert test[0] == "CMD", test

        def healthy() -> bool | None:
            done = self.engine.run("exec", container, *test[1:], check=False, seconds=60)
            return True if done.returncode == 0 else None

        try:
            wait_for(f"{service} is healthy", healthy, seconds)
        except StackError as error:
            raise StackError(f"{error}\n{self.logs(service)}") from None

    def wait_completed(self, service: str, seconds: float = 300) -> None:
        """Wait until a service that does one thing has done it."""
        code = self.engine.run("wait", self.container(service), seconds=seconds).stdout.strip()
        if code != "0":
            raise StackError(f"{service} ended with {code}\n{self.logs(service)}")

    def execute(self, service: str, *words: str, seconds: float = SHORT_SECONDS) -> str:
        """Run a command in a service's container; return what it printed."""
        return self.engine.run("exec", self.container(service), *words, seconds=seconds).stdout

    def logs(self, service: str) -> str:
        """Return the end of what a service said."""
        done = self.engine.run("logs", "--tail", "60", self.container(service), check=False)
        return done.stdout + done.stderr

    def users(self) -> dict[str, set[int]]:
        """Return the user ids (real, effective, saved, of files) of each running container."""
        running = self.engine.run(
            "ps",
            "--format",
            "{{.Names}}",
            "--filter",
            f"label=com.docker.compose.project={self.name}",
        ).stdout.split()
        script = "grep -h ^Uid: /proc/[0-9]*/status"
        return {
            name: {
                int(word)
                for line in self.engine.run("exec", name, "sh", "-c", script).stdout.splitlines()
                for word in line.split()[1:]
            }
            for name in running
        }

    def down(self) -> None:
        """Remove containers, networks and volumes, whatever state they are in."""
        for attempt in range(2):
            try:
                self.compose("down", "--volumes", "--timeout", "5", seconds=180)
            except (StackError, subprocess.TimeoutExpired):
                if attempt:
                    raise
            else:
                return


@dataclass(frozen=True)
class Stack(Composed):
    """The stack of docker-compose.yml, and what a test says to it from outside."""

    folder: Path = field(default_factory=Path)
    web_port: int = 0
    sftp_port: int = 0
    docs_port: int = 0
    _token: dict[str, str] = field(default_factory=dict)

    # --- SFTP ---------------------------------------------------------------------------------

    @property
    def key_file(self) -> Path:
        """The key of somebody who may upload."""
        return self.folder / "uploader"

    def known_hosts(self, host: str) -> str:
        """Return the drop's host key as a line of known_hosts, read in its container."""
        public = self.execute("sftp", "cat", "/srv/sftp-keys/ssh_host_ed25519_key.pub").split()
        return f"{host} {public[0]} {public[1]}\n"

    def with_sftp(
        self, work: Callable[[asyncssh.SFTPClient], Any], *, user: str = "drop", key: Any = None
    ) -> Any:
        """Log in to the drop as its uploader does, and do some work; return what it returns."""
        known = self.folder / "known_hosts"
        if not known.is_file():
            known.write_text(self.known_hosts(f"[{LOCALHOST}]:{self.sftp_port}"))

        async def connected() -> Any:
            async with (
                asyncssh.connect(
                    LOCALHOST,
                    self.sftp_port,
                    username=user,
                    client_keys=[key or str(self.key_file)],
                    known_hosts=str(known),
                    agent_path=None,
                    config=[],
                    login_timeout=30,
                ) as connection,
                connection.start_sftp_client() as client,
            ):
                return await work(client)

        return asyncio.run(asyncio.wait_for(connected(), SHORT_SECONDS))

    def upload(self, inbox: Path) -> int:
        """Lay every file of a local inbox that is not there yet into the drop's inbox."""
        files = sorted(path for path in inbox.rglob("*") if path.is_file())

        async def work(client: asyncssh.SFTPClient) -> int:
            sent = 0
            for path in files:
                target = f"/inbox/{path.relative_to(inbox).as_posix()}"
                if await client.exists(target):
                    continue
                await client.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                # Under a name nobody takes until it is whole, as careful senders do.
                await client.put(str(path), f"{target}.part")
                await client.rename(f"{target}.part", target)
                sent += 1
            return sent

        return int(self.with_sftp(work))

    def outbox(self) -> dict[str, bytes]:
        """Return the files of the outbox as the bank fetches them, by name."""

        async def work(client: asyncssh.SFTPClient) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            async for entry in _files_below(client, "/outbox"):
                async with client.open(entry, "rb") as file:
                    found[entry.removeprefix("/outbox/")] = await file.read()
            return found

        result: dict[str, bytes] = self.with_sftp(work)
        return result

    # --- Airflow, through its own door ----------------------------------------------------------

    @property
    def admin_password(self) -> str:
        """The first password of Airflow's administrator, as `bin/compose-env` has written it."""
        lines = self.variables.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)["TIEOUT_AIRFLOW_ADMIN_PASSWORD"]

    def token(self, user: str, password: str) -> dict[str, str]:
        """Log in to the API; return the header of the user's requests."""
        body = {"username": user, "password": password}
        status, answer = self.say("POST", "/auth/token", body, {})
        if status != 201:
            raise StackError(f"{user} is not logged in: {status} {answer}")
        return {"Authorization": f"Bearer {answer['access_token']}"}

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask Airflow's API as its administrator."""
        return self.administer(method, f"/api/v2{path}", body)

    def administer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask any address as Airflow's administrator, whose token is an hour's."""
        if not self._token:
            self._token.update(self.token("admin", self.admin_password))
        status, answer = self.say(method, path, body, self._token)
        if status >= 400:
            raise StackError(f"{method} {path}: {status} {str(answer)[:500]}")
        return answer

    def say(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        """Ask the API server; return the status and what the answer says."""
        request = urllib.request.Request(
            f"http://{LOCALHOST}:{self.web_port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def unpause(self, dag_id: str) -> None:
        """Wait until the DAG was parsed, and unpause it."""

        def asked() -> bool | None:
            self.api("PATCH", f"/dags/{dag_id}", {"is_paused": False})
            return True

        wait_for(f"{dag_id} is parsed", asked, 180)

    def trigger(self, dag_id: str, parameter: str, day: date, hour: int) -> str:
        """Start a run of a business date; return its id."""
        started = self.api(
            "POST",
            f"/dags/{dag_id}/dagRuns",
            {
                "logical_date": f"{day.isoformat()}T{hour:02d}:00:00+08:00",
                "conf": {parameter: day.isoformat()},
            },
        )
        return str(started["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by name."""
        found = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        return {task["task_id"]: task for task in found["task_instances"]}

    def wait_run(self, dag_id: str, run_id: str, seconds: float = LONG_SECONDS) -> str:
        """Wait until a run has ended; return how."""

        def ended() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in {"success", "failed"} else None

        return wait_for(f"{dag_id} {run_id} ends", ended, seconds, every=2)

    def why(self, dag_id: str, run_id: str) -> str:
        """Return the tasks' states and what the scheduler said, for a failure's text."""
        states = {name: task["state"] for name, task in self.tasks(dag_id, run_id).items()}
        return f"{states}\n{self.logs('scheduler')[-3000:]}"

    # --- the database, in its container -----------------------------------------------------------

    def rows(self, query: str, database: str = "tieout") -> list[list[str]]:
        """Ask the database in its container; values as text."""
        words = ["psql", "--username=tieout", f"--dbname={database}", "--csv", "--tuples-only"]
        said = self.execute("postgres", *words, "--command", query)
        return [line.split(",") for line in said.splitlines()]


async def _files_below(client: asyncssh.SFTPClient, folder: str) -> Any:
    for entry in sorted(await client.readdir(folder), key=lambda each: str(each.filename)):
        name = str(entry.filename)
        if name in {".", ".."}:
            continue
        path = f"{folder}/{name}"
        if await client.isdir(path):
            async for below in _files_below(client, path):
                yield below
        else:
            yield path


def moment(text: str) -> datetime:
    """Return the time Airflow's API says."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def remove_abandoned(engine: Engine) -> list[str]:
    """Remove what a killed run of these tests left: names whose process is no more."""

    def left(*listing: str) -> list[str]:
        found = engine.run(
            *listing, "--format", "{{.Name}}" if listing[0] != "ps" else "{{.Names}}"
        )
        names = [name for name in found.stdout.split() if name.startswith(NAME_PREFIX)]
        return [name for name in names if not _is_alive(name)]

    containers = left("ps", "--all")
    volumes, networks = left("volume", "ls"), left("network", "ls")
    if containers:
        engine.run("rm", "--force", *containers)
    for kind, names in (("volume", volumes), ("network", networks)):
        if names:
            engine.run(kind, "rm", *names)
    return [*containers, *volumes, *networks]


def _is_alive(name: str) -> bool:
    number = re.match(r"\d+", name.removeprefix(NAME_PREFIX))
    return number is not None and Path(f"/proc/{number[0]}").exists()


@contextmanager
def stack(engine: Engine, folder: Path) -> Iterator[Stack]:
    """Prepare a stack of its own, with nothing started yet; torn down however its user ends."""
    remove_abandoned(engine)
    variables = folder / "compose.env"
    run([str(PROJECT / "bin/compose-env"), str(variables)], {"HOME": str(folder)}, True, 30)
    key = asyncssh.generate_private_key("ssh-ed25519")
    uploader = folder / "uploader"
    key.write_private_key(str(uploader))
    authorized = folder / "compose.env.authorized_keys"
    authorized.write_bytes(key.export_public_key())
    web_port, sftp_port, docs_port = free_port(), free_port(), free_port()
    with variables.open("a") as file:
        file.write(
            f"TIEOUT_WEB_PUBLISH={LOCALHOST}:{web_port}\n"
            f"TIEOUT_SFTP_PUBLISH={LOCALHOST}:{sftp_port}\n"
            f"TIEOUT_DOCS_PUBLISH={LOCALHOST}:{docs_port}\n"
        )
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    found = Stack(
        engine,
        f"{NAME_PREFIX}{os.getpid()}",
        (COMPOSE_FILE,),
        variables,
        services,
        folder=folder,
        web_port=web_port,
        sftp_port=sftp_port,
        docs_port=docs_port,
    )
    try:
        yield found
    finally:
        found.down()


@contextmanager
def worker(of: Stack, number: int) -> Iterator[Composed]:
    """Start a worker as on another host: no volume of the stack, only its network."""
    folder = of.folder / f"worker-{number}"
    folder.mkdir()
    key, known = folder / "store_key", folder / "known_hosts"
    shutil.copyfile(of.key_file, key)
    known.write_text(of.known_hosts("[sftp]:2222"))
    key.chmod(0o444)  # as a mounted secret: whoever runs in the container reads it
    variables = folder / "worker.env"
    # What docker-compose.worker.yml says: no administrator's password, nor that of people.
    lines = of.variables.read_text().splitlines(keepends=True)
    apart = r"TIEOUT_PG_PASSWORD=|\w+(_PEOPLE|_GATEWAY|_ADMIN_PASSWORD)="
    kept = [line for line in lines if not re.match(apart, line)]
    assert len(kept) == len(lines) - 4, len(lines)
    variables.write_text(
        "".join(kept) + f"TIEOUT_WORKER_INBOX=sftp://drop@sftp:2222/inbox\n"
        f"TIEOUT_WORKER_OUTBOX=sftp://drop@sftp:2222/outbox\n"
        f"TIEOUT_WORKER_DATABASE=postgres:5432\n"
        f"TIEOUT_WORKER_API=http://api-server:8080\n"
        # One task at a time: two at once are on two hosts.
        f"TIEOUT_WORKER_PARALLELISM=1\n"
        f"TIEOUT_WORKER_STORE_KEY={key}\n"
        f"TIEOUT_WORKER_KNOWN_HOSTS={known}\n"
    )
    # In place of a wire between two hosts: the stack's network.
    network = folder / "network.yml"
    network.write_text(f"networks:\n  default:\n    name: {of.name}_default\n    external: true\n")
    services = yaml.safe_load(WORKER_FILE.read_text())["services"]
    found = Composed(of.engine, f"{of.name}-w{number}", (WORKER_FILE, network), variables, services)
    try:
        found.start("worker")
        yield found
    finally:
        found.down()
