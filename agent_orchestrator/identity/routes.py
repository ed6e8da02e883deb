"""Who is calling, and signing a browser in."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from agent_orchestrator.dependencies import Given
from agent_orchestrator.errors import problems
from agent_orchestrator.idempotency import read_key
from agent_orchestrator.identity.schemas import Me, SignInLink
from agent_orchestrator.identity.service import COOKIE, SESSION_S, SIGN_IN_S
from shared.errors import NotFoundError

router = APIRouter(tags=["identity"])


@router.get("/me", response_model=Me, responses=problems())
async def me(given: Given) -> Me:
    """Who the token or the cookie says you are."""
    return Me(user_id=given.user_id, roles=["owner"])


@router.post("/auth/sign-in", response_model=SignInLink, status_code=201, responses=problems())
async def make_sign_in_link(request: Request, given: Given) -> SignInLink:
    """A link that signs a browser in once."""
    return SignInLink(path=f"/auth/sign-in/{given.identity.new_code(read_key(request))}", expires_in_s=SIGN_IN_S)


@router.get(
    "/auth/sign-in/{code}", status_code=303, response_class=RedirectResponse, responses=problems(404) | {303: {"description": "Signed in"}}
)
async def sign_in(code: str, given: Given) -> Response:
    """Use a one-time code: sets the console's cookie and goes to the start page."""
    if not given.identity.redeem(code):
        raise NotFoundError(
            "This sign-in link is unknown, was used before, or has expired.",
            "POST /auth/sign-in makes a new one.",
            code="sign_in_link_invalid",
        )
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(COOKIE, given.identity.new_session(), max_age=SESSION_S, httponly=True, samesite="strict", path="/")
    return response
