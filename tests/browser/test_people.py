"""Tests of the pages of people: signing in, the account, keys, members, users, and what a role may edit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

import tracker
from server.accounts.passwords import hash_password
from server.accounts.sign_in_limit import FEW
from tracker.recorder.follow import catch_up
from tracker.recorder.open_store import open_store
from tracker.store.ingest.people import Actor, changing_people

from .conftest import Served, checked_page

PASSWORD = "correct horse battery"
LEADS, LOGS, READS = "grace", "ken", "vera"  # admin, writer and viewer of team/demo


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
def served(tmp_path: Path, serve: Callable[..., Served], without_recorder: None, hashed: str) -> Served:
    """Serve a run, an administrator of the server, and three users with different roles in its project."""
    run = tracker.init(entity="team", project="demo", id="run1", name="first", notes="as it was")
    run.log({"loss": 1.0})
    run.finish()
    store = open_store(tmp_path / "tracker-store")
    catch_up(store)
    with changing_people(store, Actor("test")) as change:
        change.add_user("ada", full_name="Ada Lovelace", is_admin=True, password=hashed)
        for name, role in ((LEADS, "admin"), (LOGS, "writer"), (READS, "viewer")):
            change.add_user(name, password=hashed)
            change.set_role(name, "team", "demo", role)
    store.close()
    return serve(key=True)


@pytest.fixture
def enter(served: Served, page: Page) -> Callable[[str, str], None]:
    """Return a function that signs a user in with the keyboard, and opens an address."""

    def sign_in(name: str, path: str) -> None:
        page.goto(f"{served.url}/{path}")
        form = page.get_by_test_id("sign-in")
        expect(form.get_by_label("Name")).to_be_focused()
        page.keyboard.type(name)
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(form).to_have_count(0)
        page.evaluate("window.trackerIdle()")

    return sign_in


def asks(served: Served, key: str, path: str) -> int:
    """Return the status of a request with an API key."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{served.url}/api/v1/{path}", headers=headers, timeout=60).status_code


def test_password_signs_in_and_sign_out_ends_the_session(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    page.allowed_errors.append("status of 401")  # type: ignore[attr-defined]
    page.goto(served.url)
    form = page.get_by_test_id("sign-in")
    form.get_by_label("Name").fill(LOGS)
    form.get_by_label("Password").fill("wrong")
    form.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid name or password")
    form.get_by_role("button", name="Use an API key").click()
    form.get_by_label("API key").fill("local-wrong")
    form.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid API key")
    enter(LOGS, "")
    expect(page.get_by_test_id("projects")).to_contain_text("demo")
    (cookie,) = page.context.cookies()
    sent = {"cookie": f"{cookie['name']}={cookie['value']}"}
    assert httpx.get(f"{served.url}/api/v1/me", headers=sent, timeout=60).json()["name"] == LOGS
    page.get_by_test_id("sign-out").click()
    expect(form).to_be_visible()
    assert httpx.get(f"{served.url}/api/v1/me", headers=sent, timeout=60).status_code == 401


@pytest.mark.slow
def test_too_many_attempts_name_the_time_to_wait(served: Served, page: Page) -> None:
    page.allowed_errors.extend(["status of 401", "status of 429"])  # type: ignore[attr-defined]
    body = {"name": LOGS, "password": "wrong"}
    for _ in range(FEW):
        assert httpx.post(f"{served.url}/api/v1/session", json=body, timeout=60).status_code == 401
    page.goto(served.url)
    page.get_by_label("Name").fill(LOGS)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Too many failed attempts. Try again in")
    expect(page.get_by_label("Password")).to_have_value(PASSWORD)


def test_key_is_created_shown_once_and_revoked(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    enter(LOGS, ":account")
    expect(page.get_by_text("No API keys")).to_be_visible()
    form = page.get_by_role("form", name="New API key")
    form.get_by_label("Name").fill("laptop")
    form.get_by_label("Access").select_option("read only")
    form.get_by_label("Only this project").fill("no project")
    form.get_by_role("button", name="Create a key").click()
    expect(form.get_by_role("alert")).to_contain_text("Invalid project 'no project'")
    form.get_by_label("Only this project").fill("team/demo")
    form.get_by_label("Expires").select_option("in 30 days")
    form.get_by_role("button", name="Create a key").click()
    row = page.get_by_test_id("keys").get_by_role("row", name="laptop")
    expect(row).to_contain_text("read only, team/demo")
    secret = page.get_by_test_id("new-key").locator("code").inner_text()
    assert asks(served, secret, "projects/team/demo/runs") == 200
    assert asks(served, secret, f"projects/{LOGS}/own/runs") == 404
    page.reload()
    expect(row).to_contain_text("just now")
    expect(page.get_by_text(secret)).to_have_count(0)
    row.get_by_role("button", name="Revoke laptop").press("Enter")
    expect(row.get_by_role("button", name="confirmed")).to_be_focused()
    page.keyboard.press("Escape")
    expect(row.get_by_role("button", name="Revoke laptop")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(row).to_have_count(0)
    assert asks(served, secret, "projects/team/demo/runs") == 401


def test_other_browser_is_signed_out_by_its_user(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    client = httpx.Client(
        base_url=f"{served.url}/api/v1", headers={"user-agent": "Firefox/1 Linux"}, timeout=60
    )
    assert client.post("/session", json={"name": LOGS, "password": PASSWORD}).status_code == 204
    assert client.get("/me").status_code == 200
    enter(LOGS, ":account")
    row = page.get_by_test_id("sessions").get_by_role("row", name="Firefox on Linux")
    row.get_by_role("button", name="End").click()
    row.get_by_role("button", name="confirmed").click()
    expect(row).to_have_count(0)
    assert client.get("/me").status_code == 401
    client.close()


def test_password_change_needs_the_current_one(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    page.allowed_errors.append("status of 403")  # type: ignore[attr-defined]
    enter(LOGS, ":account")
    part = page.get_by_role("region", name="Change the password")
    part.get_by_label("Current password").fill("wrong")
    part.get_by_label("New password", exact=True).fill("another password")
    part.get_by_label("New password again").fill("another")
    expect(part.get_by_text("The passwords differ")).to_be_visible()
    part.get_by_label("New password again").fill("another password")
    part.get_by_role("button").click()
    expect(part.get_by_role("alert")).to_contain_text("current password is wrong")
    part.get_by_label("Current password").fill(PASSWORD)
    part.get_by_role("button").click()
    expect(part.get_by_text("The password is set.")).to_be_visible()
    body = {"name": LOGS, "password": "another password"}
    assert httpx.post(f"{served.url}/api/v1/session", json=body, timeout=60).status_code == 204


def test_admin_of_a_project_edits_members(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    enter(LEADS, "team/demo?run=run1")
    page.get_by_role("link", name="Members").click()
    members = page.get_by_test_id("members")
    expect(members.get_by_role("row")).to_have_count(4)
    form = page.get_by_role("form", name="New member")
    form.get_by_label("User").fill("nobody")
    form.get_by_role("button", name="Add").click()
    expect(form.get_by_role("alert")).to_contain_text("nobody")
    form.get_by_label("User").fill("ada")
    form.get_by_label("Role").select_option("viewer")
    form.get_by_role("button", name="Add").click()
    expect(members.get_by_label("Role of ada")).to_have_value("viewer")
    members.get_by_label(f"Role of {READS}").select_option("writer")
    row = members.get_by_role("row", name=LOGS)
    row.get_by_role("button", name=f"Remove {LOGS}").click()
    row.get_by_role("button", name="confirmed").click()
    expect(row).to_have_count(0)
    page.get_by_label("Private project").check()
    expect(page.get_by_test_id("access")).to_contain_text("only the members of this project")
    expect(page.get_by_test_id("audit")).to_contain_text(f"user={READS} role=writer")
    page.evaluate("window.trackerIdle()")
    found = page.request.get(f"{served.url}/api/v1/projects/team/demo/members").json()
    assert found["private"]
    assert {each["user"]: each["role"] for each in found["members"]} == {
        "ada": "viewer",
        LEADS: "admin",
        READS: "writer",
    }


@pytest.mark.slow
def test_page_shows_the_controls_of_the_role(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    enter(READS, "team/demo?run=run1")
    expect(page.get_by_text("as it was")).to_be_visible()
    expect(page.get_by_role("button", name="Edit the")).to_have_count(0)
    page.get_by_role("link", name="Members").click()
    expect(page.get_by_test_id("members").get_by_role("row", name=LOGS)).to_contain_text("writer")
    main = page.get_by_role("main")
    for control in ("button", "combobox", "checkbox", "textbox"):
        expect(main.get_by_role(control)).to_have_count(0)
    expect(page.get_by_test_id("audit")).to_have_count(0)
    # The page may ask for changes once more while its session ends.
    page.allowed_errors += ["status of 401", "status of 403"]  # type: ignore[attr-defined]
    page.get_by_test_id("sign-out").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()

    enter(LOGS, "team/demo?run=run1")
    page.get_by_role("button", name="Edit the notes").click()
    page.get_by_role("textbox", name="notes").fill("by a writer")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("by a writer")).to_be_visible()
    # The role is taken away while the page is open.
    headers = {"authorization": f"Bearer {served.key}"}
    address = f"{served.url}/api/v1/projects/team/demo/members/{LOGS}"
    assert httpx.put(address, json={"role": "viewer"}, headers=headers, timeout=60).status_code == 200
    page.get_by_role("button", name="Edit the notes").click()
    page.get_by_role("textbox", name="notes").fill("too late")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("You are viewer of team/demo")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Edit the")).to_have_count(0)


@pytest.mark.slow
def test_administrator_adds_a_user_whose_link_leads_to_a_password(
    served: Served, page: Page, chromium: Browser, enter: Callable[[str, str], None]
) -> None:
    enter("ada", ":users")
    form = page.get_by_role("form", name="New user")
    form.get_by_label("Name", exact=True).fill("new")
    form.get_by_label("Full name").fill("New Comer")
    form.get_by_role("button", name="Add").click()
    page.get_by_role("button", name="Edit new").press("Enter")
    edit = page.get_by_role("form", name="Edit new")
    expect(edit.get_by_label("Full name")).to_be_focused()
    edit.get_by_role("button", name="Create a sign-in link").click()
    link = page.get_by_test_id("link").locator("code").inner_text()
    with checked_page(chromium) as other:
        other.goto(link)
        expect(other).to_have_url(f"{served.url}/:account")
        part = other.get_by_role("region", name="Set a password")
        part.get_by_label("New password", exact=True).fill(PASSWORD)
        part.get_by_label("New password again").fill(PASSWORD)
        other.keyboard.press("Enter")
        expect(other.get_by_role("region", name="Change the password")).to_be_visible()
        other.evaluate("window.trackerIdle()")
        other.allowed_errors.append("status of 401")  # type: ignore[attr-defined]
        edit.get_by_role("button", name="Disable new").click()
        edit.get_by_role("button", name="confirmed").click()
        expect(page.get_by_test_id("users").get_by_role("row", name="New Comer")).to_contain_text("disabled")
        other.reload()
        expect(other.get_by_test_id("sign-in")).to_be_visible()
    page.get_by_role("link", name="Audit log").click()
    audit = page.get_by_test_id("audit")
    page.get_by_label("User").fill("new")
    expect(audit.get_by_text("add_user")).to_have_count(0)
    expect(audit.get_by_role("row").filter(has_text="edit_user")).to_contain_text("password=changed")


@pytest.mark.slow
def test_administrator_sees_what_wandb_clients_ask_for(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    query = "query Viewer {viewer {id} newer(since: 1) {id}}"
    for _ in range(2):
        answer = httpx.post(f"{served.url}/graphql", json={"query": query}, auth=("api", served.key or ""))
        assert answer.json()["data"]["newer"] is None
    enter("ada", ":status")
    expect(page.get_by_test_id("unknown").get_by_role("row", name="query newer")).to_contain_text("2")
    expect(page.get_by_test_id("answered").get_by_role("row", name="query Viewer")).to_contain_text("2")
    page.get_by_role("link", name="Users").click()
    expect(page.get_by_test_id("users")).to_be_visible()


@pytest.mark.slow
def test_long_lists_have_pages_and_filters(
    served: Served, page: Page, enter: Callable[[str, str], None]
) -> None:
    headers = {"authorization": f"Bearer {served.key}"}
    with httpx.Client(base_url=f"{served.url}/api/v1", headers=headers, timeout=60) as client:
        for at in range(60):
            assert client.post("/users", json={"name": f"user{at:02}"}).status_code == 201
    enter("ada", ":users")
    users = page.get_by_test_id("users")
    expect(users.get_by_role("row")).to_have_count(65)
    page.get_by_label("Filter users").fill("user07")
    expect(users.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Audit log").click()
    page.get_by_label("Target begins with").fill("user user")
    rows = page.get_by_test_id("audit").get_by_role("row")
    expect(rows).to_have_count(51)
    page.get_by_role("button", name="Show older entries").click()
    expect(rows).to_have_count(61)
    expect(page.get_by_role("button", name="Show older entries")).to_have_count(0)


def test_button_leads_to_the_provider_and_back_to_the_page(serve: Callable[..., Served], page: Page) -> None:
    issuer = "http://127.0.0.1:9"  # nothing listens there
    served = serve("--oidc-issuer", issuer, "--oidc-client-id", "tracker", "--oidc-name", "Lab", key=True)
    page.goto(f"{served.url}/team/demo?run=run1&tab=logs")
    button = page.get_by_role("link", name="Sign in with Lab")
    address = "/sign-in/oidc?next=%2Fteam%2Fdemo%3Frun%3Drun1%26tab%3Dlogs"
    expect(button).to_have_attribute("href", address)
    page.allowed_errors.append("status of 502")  # type: ignore[attr-defined]
    button.click()
    expect(page.get_by_text("Cannot reach the provider")).to_be_visible()
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_text("Lab failed before")).to_be_visible()
