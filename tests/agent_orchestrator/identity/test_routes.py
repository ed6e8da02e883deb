"""Signing in: the token's file, the one-time link, the cookie and requests from other sites."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent_orchestrator.identity.service import COOKIE, SESSION_S, SIGN_IN_S, Identity
from agent_orchestrator.identity.token import load_or_create_token, token_path
from agent_orchestrator.resources import Resources
from tests.agent_orchestrator.http_server import TOKEN, run_server


def test_processes_that_start_at_once_share_one_private_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(load_or_create_token, [tmp_path / "data"] * 64))
    assert len(tokens) == 1
    assert token_path(tmp_path / "data").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["token"]


def test_links_and_sessions_run_out() -> None:
    now = 1_000.0
    identity = Identity(TOKEN, lambda: now)
    code, cookie = identity.new_code(), f"{COOKIE}={identity.new_session()}"
    assert identity.authenticate("", cookie) == "cookie"
    assert Identity("another-token-" + TOKEN, lambda: now).authenticate("", cookie) is None
    assert identity.authenticate("", cookie[:-1] + ("0" if cookie[-1] != "0" else "1")) is None
    now += SIGN_IN_S
    assert not identity.redeem(code)
    now += SESSION_S
    assert identity.authenticate("", cookie) is None


async def test_a_link_signs_in_once_and_the_cookie_serves_only_its_own_site(resources: Resources) -> None:
    async with run_server(resources) as running:
        async with running.client() as owner:
            path = (await owner.post("/auth/sign-in")).json()["path"]
        async with running.client(headers={}) as browser:
            signed_in = await browser.get(path)
            assert (signed_in.status_code, (await browser.get(path)).status_code) == (303, 404)
            attributes = signed_in.headers["set-cookie"].lower()
            assert "httponly" in attributes
            assert "samesite=strict" in attributes
            assert (await browser.get("/me")).json()["user_id"] == "local"
            ask = {"message": "hello"}
            for headers in ({}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
                refused = await browser.post("/chat", json=ask, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin")
            own = {"Origin": running.url, "Sec-Fetch-Site": "same-origin"}
            assert (await browser.post("/chat", json=ask, headers=own)).status_code == 200
            wrong = await browser.get("/me", headers={"Authorization": "Bearer wrong"})
            assert wrong.status_code == 401
