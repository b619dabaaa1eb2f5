"""The production-like stack, as far as it can be checked without a container engine.

`make stack-test` runs it (tests/stack). Here every reference must lead somewhere: services,
volumes, secrets, build targets, copied files, variables, Airflow's options and commands. The
image's install step is run, with exactly the files it copies.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

from tieout.commands import cli
from tieout.core.settings import _ROLE_URLS as ROLE_VARIABLES
from tieout.core.settings import load_settings
from tieout.gateway import airflow_users
from tieout.protection import key_ring

PROJECT = load_settings({}).project_dir
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMPOSE_TEXT = (PROJECT / "docker-compose.yml").read_text()
WORKER: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.worker.yml").read_text())
WORKER_TEXT = (PROJECT / "docker-compose.worker.yml").read_text()
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
AIRFLOW_SERVICES = sorted(
    name for name, service in SERVICES.items() if "AIRFLOW_HOME" in service.get("environment", {})
)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continuation lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    text = re.sub(r"^RUN( +--mount=\S+)+", "RUN", text, flags=re.MULTILINE)
    return [
        (line.split(None, 1)[0], " ".join(line.split()[1:]))
        for line in text.splitlines()
        if line.strip()
    ]


def stage(name: str) -> list[tuple[str, str]]:
    """The instructions of one build stage."""
    found: list[tuple[str, str]] = []
    inside = False
    for word, rest in instructions():
        if word == "FROM":
            inside = rest.endswith(f" AS {name}")
        if inside:
            found.append((word, rest))
    return found


def copies(name: str) -> list[tuple[list[str], str]]:
    """(sources, target) of every COPY of a stage."""
    return [(rest.split()[:-1], rest.split()[-1]) for word, rest in stage(name) if word == "COPY"]


def volume_uses() -> Iterator[tuple[str, str, str]]:
    """(service, volume, target) of every mount."""
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            if isinstance(mount, dict):
                yield name, mount["source"], mount["target"]
            else:
                source, target = mount.split(":")[:2]
                yield name, source, target


def airflow_folder() -> Path:
    """Where Airflow lies; an import would make ~/airflow."""
    package = importlib.util.find_spec("airflow")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent


def fab() -> dict[str, Any]:
    """What the provider of Airflow's users says of itself: options, auth manager."""
    file = airflow_folder() / "providers" / "fab" / "get_provider_info.py"
    info: dict[str, Any] = runpy.run_path(str(file))["get_provider_info"]()
    return info


def test_the_stack_has_its_parts() -> None:
    assert set(SERVICES) == {
        "postgres",
        "tieout-migrate",
        "airflow-migrate",
        "airflow-users",
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
        "sftp",
        "docs",
    }
    assert len(AIRFLOW_SERVICES) == 7


def test_every_service_knows_where_its_image_comes_from_and_which_version() -> None:
    images = {service["image"] for service in (*SERVICES.values(), *WORKER["services"].values())}
    assert images == {"tieout:0.1.0", "tieout-postgres:0.1.0"}
    assert {service["image"] for service in SERVICES.values() if "build" in service} == images


def test_every_image_is_built_from_one_debian() -> None:
    (base,) = [rest for word, rest in instructions() if word == "ARG"]
    assert re.fullmatch(r"BASE=debian:\d+-slim", base)
    froms = [rest for word, rest in instructions() if word == "FROM"]
    assert froms[0] == "${BASE} AS base"
    assert len(froms) >= 3
    assert {each.split(" AS ")[0] for each in froms[1:]} == {"base"}


def test_every_image_ends_as_a_user_who_is_not_root() -> None:
    for name in ("tieout", "postgres"):
        users = [rest for word, rest in stage(name) if word == "USER"]
        assert users, name
        assert users[-1] not in {"root", "0"}


def test_no_service_has_rights_it_could_take() -> None:
    for name, service in {**SERVICES, **WORKER["services"]}.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name


def test_package_settings_enter_the_build_as_mounts_only() -> None:
    """A copied file, an argument or a variable would stay in a layer or in the image's history."""
    script = (PROJECT / "bin/stack-build").read_text()
    mounted = set(re.findall(r"--mount=type=secret,id=(\w+)", DOCKERFILE))
    assert mounted == {"apt_sources", "apt_conf", "pip_conf", "ca_certificates"}
    for name in mounted:
        assert f'"$1/{name}"' in script, name
    assert [rest for word, rest in instructions() if word == "ARG"] == ["BASE=debian:12-slim"]
    assert not re.search(r"https?://", DOCKERFILE)


def test_every_build_leads_to_a_stage() -> None:
    built = [service["build"] for service in SERVICES.values() if "build" in service]
    assert len(built) == 8
    for build in built:
        assert (PROJECT / build["context"] / build["dockerfile"]).is_file()
        assert stage(build["target"]), build


def test_every_dependency_is_a_service_that_can_meet_its_condition() -> None:
    conditions = {"service_healthy", "service_completed_successfully"}
    seen = 0
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            seen += 1
            assert needed in SERVICES, (name, needed)
            assert how["condition"] in conditions
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], (name, needed)
            else:
                assert SERVICES[needed]["restart"].startswith("on-failure"), (name, needed)
    assert seen >= 9


def test_dependencies_do_not_go_in_a_circle() -> None:
    done: set[str] = set()
    while len(done) < len(SERVICES):
        ready = {
            name for name, service in SERVICES.items() if set(service.get("depends_on", {})) <= done
        }
        assert ready > done, f"a circle among {set(SERVICES) - done}"
        done = ready


def test_every_volume_and_secret_is_declared_and_used() -> None:
    used = {volume for _, volume, _ in volume_uses()}
    assert used == set(COMPOSE["volumes"])
    secrets_used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert secrets_used == set(COMPOSE["secrets"])


def test_inbox_outbox_and_docs_are_the_same_volumes_on_both_sides() -> None:
    where = {(service, volume): target for service, volume, target in volume_uses()}
    environment = SERVICES["scheduler"]["environment"]
    assert environment["TIEOUT_INBOX"] == "file://" + where["scheduler", "inbox"]
    assert environment["TIEOUT_OUTBOX"] == "file://" + where["scheduler", "outbox"]
    assert where["sftp", "inbox"].startswith("/srv/drop/")
    assert 'DROP = Path("/srv/drop")' in (PROJECT / "docker/sftp/serve.py").read_text()
    home = environment["TIEOUT_HOME"]
    assert where["scheduler", "home"] == home
    assert where["scheduler", "docs"] == str(load_settings({"TIEOUT_HOME": home}).docs_dir)
    assert where["docs", "docs"]


def test_only_the_drop_is_reachable_from_other_machines() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"api-server", "docs", "sftp"}
    for name, published in ports.items():
        for port in published:
            assert name == "sftp" or ":-127.0.0.1:" in port, (name, port)


def test_every_variable_is_written_by_the_script_the_error_names(tmp_path: Path) -> None:
    wanted = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert len(wanted) >= 7
    # What is somebody's own has a default: ports, and where payment files go.
    published = {name for name in wanted if name.endswith("_PUBLISH")}
    assert len(published) == 3
    published |= {"TIEOUT_PAYMENT_FILES", "TIEOUT_SSH_KEY"}
    wanted -= published
    assert all(
        rest == ":?run bin/compose-env}"
        for name, rest in re.findall(r"\$\{(\w+)([^}]*\})", COMPOSE_TEXT)
        if name not in published
    )
    file = tmp_path / "compose.env"
    run = [str(PROJECT / "bin/compose-env"), str(file)]
    subprocess.run(run, check=True, env={**os.environ, "HOME": str(tmp_path)})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # The drop's server, which is not root, has to read who may upload; public keys are no secret.
    authorized = tmp_path / "compose.env.authorized_keys"
    assert stat.S_IMODE(authorized.stat().st_mode) == 0o644
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert values["TIEOUT_SFTP_AUTHORIZED_KEYS"] == str(authorized)
    assert set(values) == wanted
    # The keys are ones the programs take, and never the same twice.
    Fernet(values["TIEOUT_DATA_KEY"])
    Fernet(values["TIEOUT_AIRFLOW_FERNET_KEY"])
    assert len(bytes.fromhex(values["TIEOUT_PAN_KEY"])) == key_ring.MINIMUM_KEY_BYTES
    passwords = {name for name in values if name.startswith("TIEOUT_PG_PASSWORD")}
    assert len(passwords) == 9
    passwords.add(airflow_users.PASSWORD_VARIABLE)
    for name in passwords:
        assert re.fullmatch(r"[0-9a-f]{48}", values[name]), name
    assert len(set(values.values())) == len(values)
    # A second run would make the stack's data unreadable.
    again = subprocess.run(run, check=False, capture_output=True, text=True)
    assert again.returncode != 0
    assert "stays" in again.stderr
    written = file.read_text()
    assert written.startswith("TIEOUT_PG_PASSWORD=" + values["TIEOUT_PG_PASSWORD"])
    # The file of an older version gets what it lacks, and keeps what it has.
    lines = written.splitlines(keepends=True)
    lacking = ("TIEOUT_PG_PASSWORD_GATE=", "TIEOUT_AIRFLOW_ADMIN_PASSWORD=")
    older = [line for line in lines if not line.startswith(lacking)]
    assert len(older) == len(lines) - 2
    file.write_text("".join(older))
    subprocess.run(run, check=True, capture_output=True)
    completed = file.read_text().splitlines(keepends=True)
    assert completed[:-2] == older
    for name, line in zip(lacking, completed[-2:], strict=True):
        assert re.fullmatch(name + r"[0-9a-f]{48}\n", line)
        assert line not in lines


def test_no_secret_stands_in_the_files() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|_KEY$|_URL$|CONN$", name) and "http" not in value:
                assert "${" in value, name


def test_every_tieout_variable_is_one_the_program_reads() -> None:
    names = {
        name
        for service in (
            *(SERVICES[each] for each in AIRFLOW_SERVICES),
            WORKER["services"]["worker"],
        )
        for name in service["environment"]
        if name.startswith("TIEOUT_")
    }
    assert len(names) >= 8
    source = "".join(
        (PROJECT / "plugins/tieout" / file).read_text()
        for file in (
            "core/settings.py",
            "protection/key_ring.py",
            "files/store_urls.py",
            "gateway/airflow_users.py",
        )
    )
    assert {name for name in names if f'"{name}"' not in source} == set()


def test_both_programs_use_one_database_server() -> None:
    admin = SERVICES["tieout-migrate"]["environment"]["TIEOUT_DATABASE_URL"]
    assert admin.endswith("@postgres:5432/tieout")
    for name in AIRFLOW_SERVICES:
        environment = SERVICES[name]["environment"]
        # Airflow's own database is what `tieout install` makes, and `tieout.database` asks.
        own = environment["TIEOUT_AIRFLOW_DATABASE_URL"]
        expected = "postgresql+psycopg2://" + own.partition("://")[2]
        assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == expected
        assert own.endswith("@postgres:5432/tieout_airflow")
        urls = {value for key, value in environment.items() if key in ROLE_VARIABLES.values()}
        assert all(url.endswith("@postgres:5432/tieout") for url in urls), name


# --- where payment files go -----------------------------------------------------------------------


def resolved(value: str, given: dict[str, str]) -> str:
    """A value as compose reads it: `${NAME:-default}` is the default where NAME is not given."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: given.get(found[1]) or found[2], value)


def test_whoever_hands_payment_files_over_is_told_where_the_bank_takes_them() -> None:
    """The bank's server is one line of compose.env, for the stack and a worker elsewhere alike."""
    needs = {
        "scheduler": SERVICES["scheduler"],
        "api-server": SERVICES["api-server"],
        "worker": WORKER["services"]["worker"],
    }
    url = "sftp://login@bank.example:22/in"
    for name, service in needs.items():
        environment = service["environment"]
        for given in ({}, {"TIEOUT_PAYMENT_FILES": url}):
            values = {key: resolved(value, given) for key, value in environment.items()}
            settings = load_settings(values)
            expected = url if given else settings.outbox_url
            assert settings.payment_files_url == expected, (name, given)
        assert environment["TIEOUT_SSH_KNOWN_HOSTS"], name
        assert "TIEOUT_SSH_KEY" in environment, name
    others = set(AIRFLOW_SERVICES) - set(needs)
    assert len(others) == 5
    assert not [name for name in others if "TIEOUT_PAYMENT_FILES" in SERVICES[name]["environment"]]
    # Both files lie in the home, not in the image, and not where tasks may be read from outside.
    ours = SERVICES["scheduler"]["environment"]
    assert ours["TIEOUT_SSH_KNOWN_HOSTS"].startswith(f"{ours['TIEOUT_HOME']}/secrets/")


# --- who reaches the database ---------------------------------------------------------------------

STEPS = {"ingest", "transform", "gate", "payout", "finance"}
# The roles whose logins a service knows, beside Airflow's own; nobody else reaches the database.
KNOWN_ROLES = {
    "tieout-migrate": {*STEPS, "people"},
    "airflow-migrate": set(),
    "airflow-users": set(),
    "scheduler": STEPS,
    "worker": STEPS,
    "api-server": {"ingest", "finance", "people"},
    "dag-processor": set(),
    "triggerer": set(),
}


def with_words(values: dict[str, str]) -> dict[str, str]:
    """An environment with each variable of the compose file in place of itself: `${NAME:?…}`."""
    return {key: re.sub(r"\$\{(\w+)[^}]*\}", r"<\1>", value) for key, value in values.items()}


def test_only_what_installs_knows_the_administrator() -> None:
    """The server's own container makes the user; of the others one does, and it ends."""
    services = {**SERVICES, "worker": WORKER["services"]["worker"]}
    admin = "TIEOUT_PG_PASSWORD"
    knows = {
        name
        for name, service in services.items()
        for key, value in with_words(service.get("environment", {})).items()
        if f"<{admin}>" in value or key == "TIEOUT_DATABASE_URL" or "://tieout:" in value
    }
    assert knows == {"postgres", "tieout-migrate"}
    assert SERVICES["tieout-migrate"]["restart"].startswith("on-failure")
    assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "tieout"
    assert admin not in re.findall(r"\$\{(\w+)", WORKER_TEXT)


def test_each_service_knows_the_logins_its_work_needs() -> None:
    services = {name: SERVICES[name] for name in AIRFLOW_SERVICES}
    services["worker"] = WORKER["services"]["worker"]
    assert set(services) == set(KNOWN_ROLES)
    for name, service in services.items():
        environment = with_words(service["environment"])
        known = {
            role: environment[variable]
            for role, variable in ROLE_VARIABLES.items()
            if variable in environment
        }
        assert set(known) == KNOWN_ROLES[name], name
        for role, url in known.items():
            # A login of its own: a group is nobody's login, and another role's is another's.
            assert f"://stack_{role}:<TIEOUT_PG_PASSWORD_{role.upper()}>@" in url, (name, role)
        own = environment["TIEOUT_AIRFLOW_DATABASE_URL"]
        assert "://stack_airflow:<TIEOUT_PG_PASSWORD_AIRFLOW>@" in own, name


def test_the_api_server_alone_speaks_for_airflows_users() -> None:
    """Whoever has the gateway's login is any person who has a user of Airflow: no task has it."""
    services = {**SERVICES, "worker": WORKER["services"]["worker"]}
    knows = {
        name
        for name, service in services.items()
        for key, value in with_words(service.get("environment", {})).items()
        if "<TIEOUT_PG_PASSWORD_GATEWAY>" in value or key == "TIEOUT_DATABASE_URL_GATEWAY"
    }
    # Installing makes the login, and ends.
    assert knows == {"api-server", "tieout-migrate"}
    (url,) = {
        services[name]["environment"]["TIEOUT_DATABASE_URL_GATEWAY"] for name in sorted(knows)
    }
    assert with_words({"url": url})["url"] == (
        "postgresql://stack_gateway:<TIEOUT_PG_PASSWORD_GATEWAY>@postgres:5432/tieout"
    )
    # A worker's file is made from the stack's without it.
    assert "-e '_GATEWAY='" in WORKER_TEXT


def test_what_makes_airflows_users_alone_knows_the_first_password() -> None:
    services = {**SERVICES, "worker": WORKER["services"]["worker"]}
    name = airflow_users.PASSWORD_VARIABLE
    knows = {
        service
        for service, each in services.items()
        if any(
            key == name or name in value
            for key, value in with_words(each.get("environment", {})).items()
        )
    }
    assert knows == {"airflow-users"}
    assert SERVICES["airflow-users"]["restart"].startswith("on-failure")
    assert SERVICES["airflow-users"]["command"] == ["python", "-m", airflow_users.__name__]
    assert "-e '_ADMIN_PASSWORD='" in WORKER_TEXT


def test_users_of_the_stack_have_real_roles() -> None:
    """Everywhere FAB's; where people log in, with settings in the image and files of its own."""
    manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    services = {name: SERVICES[name] for name in AIRFLOW_SERVICES}
    services["worker"] = WORKER["services"]["worker"]
    for name, service in services.items():
        environment = service["environment"]
        assert environment["AIRFLOW__CORE__AUTH_MANAGER"] == manager, name
        assert not [key for key in environment if "SIMPLE_AUTH_MANAGER" in key], name
    assert manager in fab()["auth-managers"]
    mounts = {
        (service, target): volume for service, volume, target in volume_uses() if volume == "web"
    }
    assert set(mounts) == {
        ("api-server", "/var/lib/airflow"),
        ("airflow-users", "/var/lib/airflow"),
    }
    for name in ("api-server", "airflow-users"):
        environment = SERVICES[name]["environment"]
        assert environment["AIRFLOW_HOME"] == "/var/lib/airflow", name
        config = Path(environment["AIRFLOW__FAB__CONFIG_FILE"])
        assert (PROJECT / config.relative_to("/opt/tieout")).is_file()
        # An option that is not set is read from airflow.cfg; these are said.
        assert environment["AIRFLOW__FAB__AUTH_ROLE_PUBLIC"] == ""
        assert environment["AIRFLOW__FAB__CACHE_TTL"] == "0"
    assert "airflow-users" in SERVICES["api-server"]["depends_on"]


def test_what_installs_has_a_home_of_its_own() -> None:
    """A person's first password lies there until it is handed over; tasks have another home."""
    homes = {
        service: volume for service, volume, target in volume_uses() if target == "/var/lib/tieout"
    }
    assert homes.pop("tieout-migrate") == "install"
    # Who makes Airflow's users needs no home.
    assert set(homes) == set(AIRFLOW_SERVICES) - {"tieout-migrate", "airflow-users"}
    assert set(homes.values()) == {"home"}


def test_every_airflow_option_exists() -> None:
    templates = airflow_folder() / "config_templates" / "config.yml"
    known = yaml.safe_load(templates.read_text()) | fab()["config"]
    names = {
        name
        for service in AIRFLOW_SERVICES
        for name in SERVICES[service]["environment"]
        if name.startswith("AIRFLOW__")
    }
    assert len(names) >= 15
    for name in names:
        _, section, option = name.lower().split("__")
        assert option in known[section]["options"], name


def test_every_airflow_command_exists(tmp_path: Path) -> None:
    commands = [SERVICES[service]["command"] for service in AIRFLOW_SERVICES]
    commands = [command for command in commands if command[0] == "airflow"]
    checks = [
        service["healthcheck"]["test"][1:]
        for service in SERVICES.values()
        if service.get("healthcheck", {}).get("test", ["", ""])[1] == "airflow"
    ]
    assert (len(commands), len(checks)) == (5, 3)
    # One Airflow process for all: each command line is parsed, none is run.
    script = (
        "import sys, json; from airflow.cli import cli_parser; parser = cli_parser.get_parser();"
        "[parser.parse_args(words[1:]) for words in json.loads(sys.argv[1])]"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(commands + checks)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-1000:]


def test_the_install_command_is_one_of_the_program() -> None:
    assert SERVICES["tieout-migrate"]["command"] == ["tieout", "install"]
    names = [
        command.name or command.callback.__name__
        for command in cli.app.registered_commands
        if command.callback is not None
    ]
    assert "install" in names


# --- the image ----------------------------------------------------------------------------------


def test_what_is_copied_is_there_and_is_sent_to_the_engine() -> None:
    allowed = {
        line[1:]
        for line in (PROJECT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    sources = [
        source
        for name in ("tieout", "postgres")
        for group, _ in copies(name)
        for source in group
        if not source.startswith(("--from", "/opt/tieout/"))
    ]
    assert len(sources) >= 10
    for source in sources:
        assert (PROJECT / source).exists(), source
        assert source in allowed or source.split("/")[0] in allowed, source
    assert {path for path in allowed if not (PROJECT / path).exists()} == set()


def test_the_image_and_the_makefile_install_with_the_same_script() -> None:
    runs = [rest for word, rest in stage("tieout") if word == "RUN"]
    assert [run for run in runs if "bin/install" in run] == [
        "TIEOUT_PACKAGES_ONLY=1 bin/install",
        "bin/install",
    ]
    assert not any(re.search(r"\b(pip|uv|apt-get)\b", run) for run in runs)
    makefile = (PROJECT / "Makefile").read_text()
    setup = re.search(r"^setup:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert setup is not None
    assert setup[1].split() == ["@bin/install", "$(VENV)"]
    assert re.search(r"^VENV := \.venv$", makefile, re.MULTILINE)
    for target in ("close", "test", "ui", "docs", "style", "bench"):
        assert re.search(rf"^{target}: setup\b", makefile, re.MULTILINE), target


def test_the_image_installs_with_what_it_copies(tmp_path: Path) -> None:
    """Run the image's step in a folder that holds exactly what was copied before it."""
    image = tmp_path / "opt" / "tieout"
    image.mkdir(parents=True)
    for word, rest in stage("tieout"):
        if (word, rest) == ("RUN", "bin/install"):
            break
        if word != "COPY":
            continue
        *sources, target = rest.split()
        for source in sources:
            origin = PROJECT / source
            goal = image / target / origin.name if target == "./" else image / target
            goal.parent.mkdir(parents=True, exist_ok=True)
            if origin.is_dir():
                shutil.copytree(origin, goal, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(origin, goal)
    else:
        pytest.fail("the image does not run bin/install")
    environment = {**os.environ, "PYTHON": sys.executable}
    try:
        for _ in range(2):
            subprocess.run(["bin/install"], cwd=image, env=environment, check=True, timeout=500)
        code = "import tieout, alembic, psycopg; print(tieout.__file__)"
        done = subprocess.run(
            [".venv/bin/python", "-c", code], cwd=image, check=True, capture_output=True, text=True
        )
        assert Path(done.stdout.strip()) == image / "plugins" / "tieout" / "__init__.py"
        assert (image / ".venv/bin/tieout").is_file()
        assert (image / ".venv/bin/airflow").is_file()
    finally:
        shutil.rmtree(image)


def test_without_a_suitable_python_the_installation_says_what_to_do(tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    for name in ("dirname", "cat", "cksum", "rm"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    done = subprocess.run(
        [str(PROJECT / "bin/install"), str(tmp_path / "venv")],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in done.stderr
    assert "apt-get install python3" in done.stderr
    assert not (tmp_path / "venv").exists()


# --- a worker elsewhere -------------------------------------------------------------------------


def test_a_worker_elsewhere_has_what_the_schedulers_have() -> None:
    """Its keys, its database and Airflow's secrets are the stack's, or its work is another's."""
    ours = SERVICES["scheduler"]["environment"]
    theirs = WORKER["services"]["worker"]["environment"]
    of_the_web = {name for name in ours if name.startswith(("AIRFLOW__API__", "AIRFLOW__DAG_"))}
    of_the_web -= {"AIRFLOW__API__SECRET_KEY"}
    assert set(ours) - of_the_web <= set(theirs)
    elsewhere = {name for name, value in theirs.items() if "TIEOUT_WORKER_" in value}
    elsewhere |= {"TIEOUT_SSH_KEY", "TIEOUT_SSH_KNOWN_HOSTS", "TIEOUT_PAYMENT_FILES"}
    same = set(theirs) - elsewhere
    assert len(same) >= 10
    assert {name for name in same if theirs[name] != ours[name]} == set()
    assert WORKER["services"]["worker"]["command"] == SERVICES["scheduler"]["command"]


def test_a_worker_elsewhere_shares_no_folder() -> None:
    worker = WORKER["services"]["worker"]
    assert worker["volumes"] == ["home:" + worker["environment"]["TIEOUT_HOME"]]
    assert set(WORKER["volumes"]) == {"home"}
    assert "file://" not in WORKER_TEXT
    assert "ports" not in worker
