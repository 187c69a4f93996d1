"""The commands for users, roles, private projects, keys and the audit log, with a real server."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import pytest
import scripts
from builders import Writer, apply_all
from serving import COMMAND, Server, serving

from tracker.cli.main import main
from tracker.recorder.open_store import open_store

PASSWORD = "correct horse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a store that has runs in two projects."""
    store = open_store(tmp_path / "tracker-store")
    for segment, project in (("a" * 32, "open"), ("b" * 32, "secret")):
        Writer(store.layout, segment, project=project).finish()
    apply_all(store, final=True)
    store.close()
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Server]:
    with serving(folder / "tracker-store", key=True) as server:
        yield server


def succeed(folder: Path, *arguments: str, text: str = "") -> str:
    """Run a command that must succeed, in this process; return its output."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown):
        patch.setattr(sys, "stdin", io.StringIO(text))
        main([arguments[0], "--store", str(folder / "tracker-store"), *arguments[1:]])
    return shown.getvalue()


def refuse(folder: Path, *arguments: str) -> str:
    """Run a command that must fail with one line; return the line."""
    with pytest.raises(SystemExit) as ended:
        succeed(folder, *arguments)
    line = ended.value.code
    assert isinstance(line, str)
    assert line.startswith("tracker: ") and "\n" not in line
    return line.removeprefix("tracker: ")


def get(server: Server, path: str, key: str) -> httpx.Response:
    with server.client(Authorization=f"Bearer {key}") as api:
        return api.get(path)


def test_a_running_server_sees_changes_immediately(folder: Path, served: Server) -> None:
    runs = "/projects/team/open/runs"
    succeed(folder, "user", "add", "ann", "--full-name", "Ann B.", "--email", "ann@example.org")
    key = succeed(folder, "key", "--user", "ann", "--name", "laptop").strip()
    assert re.fullmatch(r"local-[0-9a-f]{40}", key)
    assert get(served, runs, key).status_code == 404
    assert succeed(folder, "member", "team", "ann", "viewer") == "User ann is viewer of team now.\n"
    assert get(served, runs, key).status_code == 200
    assert succeed(folder, "private", "team/open", "on").startswith("team/open is private: only ")
    assert get(served, runs, key).status_code == 404
    succeed(folder, "member", "team/open", "ann", "writer")
    assert get(served, runs, key).status_code == 200
    listed = json.loads(succeed(folder, "member", "team/open", "--json"))
    assert [(each["project"], each["role"]) for each in listed] == [("", "viewer"), ("open", "writer")]
    assert succeed(folder, "private") == "team/open\n"
    succeed(folder, "member", "team/open", "ann", "none")
    assert get(served, runs, key).status_code == 404
    assert succeed(folder, "private", "team/open", "off").startswith("team/open is not private: ")
    assert get(served, runs, key).status_code == 200
    succeed(folder, "user", "disable", "ann")
    assert get(served, runs, key).status_code == 401
    succeed(folder, "user", "enable", "ann")
    assert get(served, runs, key).status_code == 200
    succeed(folder, "user", "delete", "ann")
    assert get(served, runs, key).status_code == 401
    (entry,) = json.loads(succeed(folder, "audit", "--target", "team/open", "--limit", "1", "--json"))
    assert (entry["actor"], entry["action"], entry["detail"]) == (
        "command line",
        "set_private",
        "private=False",
    )
    assert "delete_user  user ann" in succeed(folder, "audit", "--actor", "command line")
    assert succeed(folder, "audit", "--actor", "ann").splitlines()[1:] == []


def test_keys_with_limits(folder: Path, served: Server) -> None:
    reads = succeed(folder, "key", "--name", "reads", "--read-only", "--project", "team/open").strip()
    assert get(served, "/projects/team/open/runs", reads).status_code == 200
    assert get(served, "/projects/team/secret/runs", reads).status_code == 404
    with served.client(Authorization=f"Bearer {reads}") as api:
        assert api.patch("/projects/team/open/runs/run", json={"notes": "n"}).status_code == 403
    succeed(folder, "key", "--name", "short", "--expires-days", "0.5")
    listed = json.loads(succeed(folder, "key", "list", "--json"))
    own, first, second = sorted(listed, key=lambda each: each["id"])
    assert (own["name"], own["user"]) == ("owner", None)
    assert (first["scope"], first["entity"], first["project"]) == ("read", "team", "open")
    assert second["expires_at"] - second["created_at"] == pytest.approx(43_200, abs=10)
    assert re.search(r"reads +read +team/open", succeed(folder, "key", "list"))
    assert succeed(folder, "key", "revoke", str(first["id"])) == f"Key {first['id']} is revoked.\n"
    assert get(served, "/projects/team/open/runs", reads).status_code == 401


def sign_in(server: Server, **body: Any) -> httpx.Client | None:
    """Return a client with the cookie of a signed-in browser; None if the server refuses to sign it in."""
    browser = httpx.Client(base_url=server.url, timeout=60, trust_env=False)
    answer = browser.post("/api/v1/session", json=body)
    return browser if answer.status_code == 204 else None


def session(browser: httpx.Client) -> Any:
    return browser.get("/api/v1/session").json()


def test_passwords_and_links(folder: Path, served: Server) -> None:
    assert "Sign in: tracker user link ann" in succeed(folder, "user", "add", "ann")
    succeed(folder, "user", "add", "bob", "--admin", "--password-stdin", text=f"{PASSWORD}\n")
    found = sign_in(served, name="bob", password=PASSWORD)
    assert found is not None
    assert session(found)["user"] == "bob"
    assert session(found)["is_admin"]
    assert sign_in(served, name="ann", password=PASSWORD) is None
    link = succeed(folder, "user", "link", "ann").strip()
    browser = httpx.Client(base_url=served.url, timeout=60, trust_env=False)
    assert browser.get(link).status_code == 303
    assert (session(browser)["user"], session(browser)["is_admin"]) == ("ann", False)
    assert browser.get(link).status_code == 401
    succeed(folder, "user", "password", "ann", "--stdin", text=f"{PASSWORD} of Ann\n")
    assert not session(browser)["signed_in"]
    assert sign_in(served, name="ann", password=f"{PASSWORD} of Ann") is not None


def test_a_link_of_a_deleted_user_does_not_sign_in_the_next_one(folder: Path, served: Server) -> None:
    succeed(folder, "user", "add", "ann")
    links = [succeed(folder, "user", "link", "ann").strip()]
    succeed(folder, "user", "delete", "ann")
    succeed(folder, "user", "add", "ann")
    links.append(succeed(folder, "user", "link", "ann").strip())
    assert [httpx.get(link, trust_env=False, timeout=60).status_code for link in links] == [401, 303]


def type_on_terminal(folder: Path, *arguments: str, answers: list[str]) -> tuple[int, str]:
    """Run a command on a terminal, answer each question; return its exit status and its output."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(sys.executable, [*COMMAND, *arguments], scripts.environment())
    shown, left = "", list(answers)
    try:
        while True:
            if not select.select([terminal], [], [], 60)[0]:
                raise TimeoutError(shown)
            shown += os.read(terminal, 1024).decode()
            if left and shown.endswith(": "):
                os.write(terminal, left.pop(0).encode() + b"\n")
    except OSError:  # the command has closed the terminal
        pass
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return status, shown.replace("\r\n", "\n")


@pytest.mark.slow
def test_a_password_is_typed_twice(folder: Path, served: Server) -> None:
    status, shown = type_on_terminal(folder, "user", "add", "ann", "--password", answers=[PASSWORD, PASSWORD])
    assert (status, shown.splitlines()[-1]) == (0, "User ann is added.")
    assert PASSWORD not in shown
    assert sign_in(served, name="ann", password=PASSWORD) is not None
    other = f"{PASSWORD}!"
    status, shown = type_on_terminal(folder, "user", "password", "ann", answers=[other, PASSWORD])
    assert (status, shown.splitlines()[-1]) == (1, "tracker: The two passwords differ. Try again.")
    status, shown = type_on_terminal(folder, "user", "password", "ann", answers=[other, other])
    assert (status, shown.splitlines()[-1]) == (0, "The password of user ann is changed.")
    assert sign_in(served, name="ann", password=other) is not None


def test_users_are_listed_and_edited(folder: Path) -> None:
    succeed(folder, "user", "add", "ann", "--admin")
    assert "tracker key --user robot" in succeed(folder, "user", "add", "robot", "--service")
    succeed(folder, "user", "edit", "robot", "--full-name", "Robot 1", "--email", "r@example.org")
    ann, robot = json.loads(succeed(folder, "user", "list", "--json"))
    assert (ann["name"], ann["is_admin"], ann["is_service"], ann["has_password"]) == (
        "ann",
        True,
        False,
        False,
    )
    assert (robot["full_name"], robot["email"], robot["is_service"]) == ("Robot 1", "r@example.org", True)
    assert re.search(
        r"^robot +service .*Robot 1 +r@example.org$", succeed(folder, "user", "list"), re.MULTILINE
    )
    succeed(folder, "user", "edit", "robot", "--admin")
    succeed(folder, "user", "edit", "ann", "--no-admin")
    ann, robot = json.loads(succeed(folder, "user", "list", "--json"))
    assert (ann["is_admin"], robot["is_admin"]) == (False, True)
    lines = succeed(folder, "member").splitlines()
    assert [line.split() for line in lines] == [
        ["USER", "ROLE", "PLACE"],
        ["ann", "admin", "ann"],
        ["robot", "admin", "robot"],
    ]


def test_a_rebuild_keeps_users_or_is_refused(folder: Path) -> None:
    store = folder / "tracker-store"
    succeed(folder, "user", "add", "ann", "--admin")
    succeed(folder, "key", "--user", "ann")
    lines = succeed(folder, "rebuild").splitlines()
    assert "  API keys recovered: 1" in lines
    assert "  users recovered: 1; everyone signs in again in the browser" in lines
    (store / "catalog.db").unlink()
    lines = succeed(folder, "rebuild").splitlines()
    assert "  users recovered: 1; everyone signs in again in the browser; the audit log is lost" in lines
    for file in ("catalog.db", "people.json"):
        (store / file).unlink()
    for command in (["rebuild"], ["user", "list"], ["key"]):
        assert refuse(folder, *command).startswith(f"{store}/people.json is missing, and the catalog, ")
    assert "API keys could not be recovered" in succeed(folder, "rebuild", "--without-people")
    assert json.loads(succeed(folder, "user", "list", "--json")) == []


PUBLIC = ("--url", "http://example.org/tracker")


def follow(server: Server, link: str) -> httpx.Client:
    """Open a sign-in link behind a proxy; return the browser."""
    assert link.startswith("http://example.org/tracker/sign-in?token=")
    browser = httpx.Client(base_url=f"{server.url}/tracker", timeout=60, trust_env=False)
    assert browser.get(link.removeprefix("http://example.org/tracker")).status_code == 303
    return browser


def test_the_first_start_for_others_makes_an_administrator(tmp_path: Path) -> None:
    with serving(tmp_path / "tracker-store", *PUBLIC, key=True) as server:
        address, line = server.first_lines
        assert server.process.stdout is not None
        shown = server.process.stdout.readline()
        found = re.fullmatch(r"API key \(shown once\): (local-[0-9a-f]{40})\n", shown)
        assert found is not None
        with server.client(Authorization=f"Bearer {found[1]}") as api:
            me = api.get("/session").json()
        assert (me["user"], me["is_admin"], me["has_users"]) == ("admin", True, True)
        text, _, link = line.strip().rpartition(": ")
        expected = "sign in as admin (once, within 15 minutes; `tracker user link admin` prints another)"
        assert text == expected
        assert session(follow(server, link))["user"] == "admin"
    with serving(tmp_path / "tracker-store", *PUBLIC, key=True) as server:
        address, line = server.first_lines
        assert address.startswith("tracker server: ")
        assert line.startswith("sign in: http://example.org/tracker (`tracker user link NAME` ")
        # The administrator has lost the password and the first key.
        browser = follow(server, succeed(tmp_path, "user", "link", "admin").strip())
        assert session(browser)["is_admin"]
        succeed(tmp_path, "user", "add", "second", "--admin")
        succeed(tmp_path, "user", "disable", "admin")
        assert not session(browser)["signed_in"]
        browser = follow(server, succeed(tmp_path, "user", "link", "second").strip())
        assert (session(browser)["user"], session(browser)["is_admin"]) == ("second", True)


def test_a_store_with_keys_and_without_users_stays_as_it_is(folder: Path) -> None:
    key = succeed(folder, "key").strip()
    with serving(folder / "tracker-store", *PUBLIC, key=True) as server:
        _, line = server.first_lines
        assert line.startswith(
            "sign in (once, within 15 minutes; --link prints another): http://example.org/"
        )
        assert session(follow(server, line.split()[-1]))["user"] is None
        assert get(server, "/projects/team/open/runs", key).status_code == 200
    assert json.loads(succeed(folder, "user", "list", "--json")) == []


def test_the_first_start_for_this_machine_makes_no_user(folder: Path) -> None:
    with serving(folder / "tracker-store", key=True) as server:
        _, line = server.first_lines
        assert line.startswith("sign in (once, within 15 minutes; --link prints another): http://127.")
    assert json.loads(succeed(folder, "user", "list", "--json")) == []


def test_keys_that_people_have_already(folder: Path, served: Server) -> None:
    known = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0"
    shown = succeed(folder, "user", "add", "ann", "--api-key-stdin", text=f"{known}\n")
    assert "The key is registered." in shown
    shown += succeed(folder, "user", "add", "bot", "--service")
    shown += succeed(folder, "key", "--user", "bot", "--api-key-stdin", text=f"team-{known}\n")
    basic = [httpx.BasicAuth("api", key) for key in (known, f"team-{known}", f"{known}0")]
    found = [httpx.get(f"{served.url}/api/v1/session", auth=each, trust_env=False) for each in basic]
    assert [each.json()["user"] for each in found if each.json()["signed_in"]] == ["ann", "bot"]
    shown += succeed(folder, "audit", "--json") + succeed(folder, "key", "list")
    assert "registered" in shown
    assert known not in shown + "".join(served.errors)
    assert known.encode() not in (folder / "tracker-store" / "people.json").read_bytes()


@pytest.mark.parametrize("key", ["short", "a" * 39, "local-" + "a1b2c3d4e5" * 3, "0" * 40, "a b" * 20, ""])
def test_a_key_that_the_client_refuses_or_that_is_easy_to_guess(folder: Path, key: str) -> None:
    with pytest.raises(SystemExit, match=r"Invalid API key\. Use one that the wandb client accepts") as ended:
        succeed(folder, "user", "add", "ann", "--api-key-stdin", text=f"{key}\n")
    assert not key or key not in str(ended.value.code)
    assert "ann" not in succeed(folder, "user", "list")


def test_a_key_is_registered_once(folder: Path) -> None:
    known = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0"
    succeed(folder, "user", "add", "ann", "--api-key-stdin", text=known)
    with pytest.raises(SystemExit, match="This key is in use on this server already"):
        succeed(folder, "user", "add", "bob", "--api-key-stdin", text=known)


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("user", "add", "a b"), "Invalid user name 'a b'. Use 1 to 64 letters"),
    (("user", "add", "ann"), "User ann exists already. Choose another name."),
    (
        ("user", "add", "x", "--password"),
        "There is no terminal to ask for a password.",
    ),
    (("user", "add", "x", "--password-stdin"), "Invalid password. Use 10 to 1000 characters."),
    (("user", "add", "x", "--service", "--password-stdin"), "A service has keys and no password."),
    (("user", "edit", "ann"), "Nothing to change. Use --full-name"),
    (("user", "edit", "ann", "--no-admin"), "The server needs an administrator."),
    (("user", "disable", "ann"), "The server needs an administrator."),
    (("user", "delete", "ann"), "The server needs an administrator."),
    (("user", "delete", "eve"), "there is no user 'eve'"),
    (("user", "link", "eve"), "there is no user 'eve'"),
    (("user", "link", "robot"), "User robot is a service. Create a key: tracker key --user robot"),
    (("user", "link", "out"), "User out is disabled. Run: tracker user enable out"),
    (("user", "link", "ann"), "No server has served "),
    (("user", "password", "robot", "--stdin"), "User robot is a service, which has keys"),
    (("member", "team/", "ann", "viewer"), "Invalid place 'team/'. Use ENTITY or ENTITY/PROJECT."),
    (("member", "a/b/c"), "Invalid place 'a/b/c'. Use ENTITY or ENTITY/PROJECT."),
    (("member", "team", "ann"), "Role missing. Use viewer, writer, admin or none."),
    (("member", "team", "eve", "viewer"), "there is no user 'eve'"),
    (("member", "team", "ann", "none"), "user ann has no role in team"),
    (("private", "team", "on"), "Invalid project 'team'. Use ENTITY/PROJECT."),
    (("key", "--user", "eve"), "there is no user 'eve'"),
    (("key", "--project", "team"), "Invalid project 'team'. Use ENTITY/PROJECT."),
    (("key", "revoke", "99"), "there is no key 99"),
]


def test_bad_input_gets_one_line_and_changes_nothing(folder: Path) -> None:
    for name, options in (("ann", ["--admin"]), ("robot", ["--service"]), ("out", [])):
        succeed(folder, "user", "add", name, *options)
    succeed(folder, "user", "disable", "out")
    file = folder / "tracker-store" / "people.json"
    before = file.read_bytes()
    for arguments, line in WRONG:
        assert refuse(folder, *arguments).startswith(line), arguments
    assert file.read_bytes() == before
    for words in ("member team ann owner", "key --expires-days 0", "key revoke x", "audit --limit 0"):
        with pytest.raises(SystemExit, match=r"^2$"):
            succeed(folder, *words.split())


@pytest.mark.parametrize(
    "arguments", [("user", "list"), ("member",), ("private",), ("audit",), ("key", "list")]
)
def test_commands_without_a_store_fail(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert "there is no store at" in refuse(tmp_path, *arguments)
    assert list(tmp_path.iterdir()) == []
