"""`hsagency sandbox` serves until it is stopped, and writes the list that onboards it."""

from __future__ import annotations

import csv
import json
import shlex
import signal
import ssl
import subprocess
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.commands import run_cli, running_cli


def started(process: subprocess.Popen[bytes]) -> list[str]:
    """Read what it says until it says how to stop it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.decode().strip())
        if "Stop it with" in lines[-1]:
            break
    return lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_a_fleet_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    args = ["sandbox", "--portals", "3", "--csv", "clients.csv"]
    with running_cli(args, cwd=tmp_path) as process:
        said = started(process)
        assert said[0] == "Client list: clients.csv"
        url = said[1].removeprefix("3 simulated portals at ")
        assert url.startswith("http://127.0.0.1:")
        path = tmp_path / "clients.csv"
        assert path.stat().st_mode & 0o777 == 0o600
        if number is signal.SIGINT:
            for line in said[2:4]:  # as they stand there, in the folder it was started in
                typed = shlex.split(line.partition(": hsagency ")[2])
                more = ["--store", "age:credentials"] if typed[0] == "init" else []
                done = run_cli([*typed, *more], cwd=tmp_path)
                assert done.returncode == 0, done.stderr
            assert "3 onboarded." in done.stdout
        process.send_signal(number)
        out, errors = process.communicate(timeout=30)
        assert (process.returncode, out.decode().strip(), errors) == (0, "Stopped.", b"")


def test_a_list_that_may_be_a_real_one_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "clients.csv").write_text("real", "utf-8")
    done = run_cli(["sandbox", "--portals", "1", "--csv", "clients.csv"], cwd=tmp_path)
    assert done.returncode == 1
    assert "clients.csv exists and holds something else; it was left alone." in done.stderr
    assert (tmp_path / "clients.csv").read_text("utf-8") == "real"


def test_it_lists_what_it_simulates(tmp_path: Path) -> None:
    text = run_cli(["sandbox", "--routes"], cwd=tmp_path)
    assert "/crm/objects/{type}/search" in text.stdout
    document = json.loads(run_cli(["sandbox", "--routes", "--json"], cwd=tmp_path).stdout)
    assert {"family", "path", "methods", "versions"} == set(document[0])
    refused = run_cli(["sandbox", "--json"], cwd=tmp_path)
    assert (refused.returncode, "goes with --routes" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--routes", "--csv", "clients.csv", "--seed", "1"], "leave out --csv, --seed"),
        (["--store", "nope:"], "no workspace and no store"),
        (["--workspace", "here"], "no workspace and no store"),
    ],
)
def test_what_means_nothing_to_it_is_refused(tmp_path: Path, args: list[str], why: str) -> None:
    done = run_cli(["sandbox", *args], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Nothing was started." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_quiet_says_where_it_is_and_the_way_to_its_control_api(tmp_path: Path) -> None:
    with running_cli(["sandbox", "--portals", "1", "--quiet"], cwd=tmp_path) as process:
        assert process.stdout is not None
        address, control = (process.stdout.readline().decode() for _ in range(2))
        assert address.startswith("1 simulated portals at http://127.0.0.1:")
        assert control.startswith("Control API: ")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")


def test_the_authority_of_an_untrusted_certificate_is_not_recommended(tmp_path: Path) -> None:
    args = ["sandbox", "--portals", "1", "--tls", "untrusted"]
    with running_cli(args, cwd=tmp_path) as process:
        said = "\n".join(started(process))
    assert "Certificate: untrusted; it is signed by another authority" in said
    assert "SSL_CERT_FILE" not in said
    assert "ca_bundle" not in said


def test_it_breaks_things_from_a_file_and_writes_what_it_got(tmp_path: Path) -> None:
    faults = "[[fault]]\nkind = 'status'\nstatus = 401\nportal = 'nobody'\n"
    (tmp_path / "faults.toml").write_text(faults, "utf-8")
    args = ["sandbox", "--portals", "2", "--faults", "faults.toml", "--ledger", "calls.jsonl"]
    refused = run_cli(args, cwd=tmp_path)
    assert refused.returncode == 1
    assert (
        "faults.toml, fault 1, portal: A fault's portal is unknown: the sandbox has no portal 'nobody'"
        in refused.stderr
    )
    assert not (tmp_path / "calls.jsonl").exists()


@pytest.mark.parametrize("variant", ["good", "expired"])
def test_over_https_its_authority_is_in_a_file_and_the_environment_makes_nobody_trust_it(
    tmp_path: Path, variant: str
) -> None:
    args = ["sandbox", "--portals", "2", "--csv", "clients.csv", "--tls", variant]
    run_cli(["init", "workspace", "--store", "age:credentials"], cwd=tmp_path)
    with running_cli(args, cwd=tmp_path) as process:
        said = started(process)
        url = said[1].removeprefix("2 simulated portals at ")
        assert url.startswith("https://127.0.0.1:")
        assert any(line.startswith("Onboard them") for line in said) is (variant == "good")
        trust = next(line for line in said if line.startswith(f"Certificate: {variant}"))
        file = trust.partition("SSL_CERT_FILE=")[2]
        assert f"curl --cacert {file}" in trust
        context = ssl.create_default_context(cafile=file)
        with httpx.Client(verify=context, trust_env=False) as client:
            asked = partial(client.get, f"{url}/account-info/v3/details")
            if variant == "good":
                assert asked().status_code == 401
            else:
                with pytest.raises(httpx.ConnectError, match="expired"):
                    asked()
        done = run_cli(
            ["onboard", "../clients.csv", "--api", url],
            cwd=tmp_path / "workspace",
            env={"SSL_CERT_FILE": file},
        )
        assert "2 refused. None of the refused rows got an answer" in done.stdout
        assert "The sandbox showed a certificate that is not trusted (" in done.stderr
        assert "no token and no call were sent. The token was not stored" in done.stderr
        assert "start one without --tls" in done.stderr
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
        assert (process.returncode, out.decode().strip(), errors) == (0, "Stopped.", b"")
    assert not Path(file).exists()


def test_over_https_what_it_advises_onboards_its_fleet_and_calls_it(tmp_path: Path) -> None:
    args = ["sandbox", "--portals", "2", "--csv", "clients.csv", "--tls"]
    with running_cli(args, cwd=tmp_path) as process:
        said = started(process)
        workspace = ["--workspace", "my-agency"]
        run_cli(["init", "my-agency", "--store", "age:credentials"], cwd=tmp_path)
        trust = next(one for one in said if one.startswith("Trust its authority there: "))
        subprocess.run(trust.partition(": ")[2], shell=True, cwd=tmp_path, check=True)
        onboard = next(one for one in said if one.startswith("Onboard them: "))
        words = shlex.split(onboard.partition(": ")[2])
        done = run_cli(words[words.index("onboard") :], cwd=tmp_path)
        assert "2 onboarded." in done.stdout, done.stdout + done.stderr
        with (tmp_path / "clients.csv").open(encoding="utf-8") as file:
            slug = next(csv.DictReader(file))["clientSlug"]
        details = "/account-info/2026-09/details"
        called = run_cli(["call", slug, "GET", details, *workspace], cwd=tmp_path)
        assert called.returncode == 0, called.stderr
        assert '"portalId"' in called.stdout
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
