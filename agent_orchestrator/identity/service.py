"""Who is calling: the bearer token, the console's cookie and the one-time sign-in link."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Literal

from shared.errors import SettingsError

COOKIE = "persevere_session"
SESSION_S = 30 * 24 * 3600
SIGN_IN_S = 3600


def is_loopback(host: str) -> bool:
    """Whether a listening address is only reachable from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_safe_binding(host: str, token: str | None) -> None:
    """`SettingsError` for an address beyond loopback without a long token."""
    if not is_loopback(host) and len(token or "") < 20:
        raise SettingsError(f"Listening on {host} needs a token of at least 20 characters.", "Set PERSEVERE_TOKEN, or listen on 127.0.0.1.")


class Identity:
    """Checks what a request brings. `now` gives seconds since the epoch."""

    def __init__(self, token: str, now: Callable[[], float] = time.time) -> None:
        self._token = token.encode()
        self._now = now
        self._codes: dict[bytes, float] = {}
        self._by_key: dict[str, tuple[str, float]] = {}

    def authenticate(self, authorization: str, cookie: str) -> Literal["bearer", "cookie"] | None:
        """By the values of the headers `Authorization` and `Cookie`; a wrong bearer token is not made good by a cookie."""
        if authorization:
            scheme, _, given = authorization.partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._token)
            return "bearer" if right and scheme.lower() == "bearer" else None
        return "cookie" if cookie and self._session_is_valid(_read_cookie(cookie)) else None

    def new_session(self) -> str:
        """The value of a cookie that is valid for `SESSION_S` seconds, as long as the token stays the same."""
        issued = str(int(self._now()))
        return f"{issued}.{self._sign(issued)}"

    def new_code(self, key: str | None = None) -> str:
        """A code that signs in once, within `SIGN_IN_S` seconds. The same one for the same `key` as long: it is not stored anywhere."""
        now = self._now()
        self._codes = {digest: until for digest, until in self._codes.items() if until > now}
        self._by_key = {known: (code, until) for known, (code, until) in self._by_key.items() if until > now}
        if key in self._by_key:
            return self._by_key[key][0]
        code, until = secrets.token_urlsafe(24), now + SIGN_IN_S
        self._codes[_digest(code)] = until
        if key is not None:
            self._by_key[key] = code, until
        return code

    def redeem(self, code: str) -> bool:
        """Use a code up; False when it is unknown, used or too old."""
        until = self._codes.pop(_digest(code), 0.0)
        return self._now() < until

    def _session_is_valid(self, value: str) -> bool:
        issued, _, signature = value.partition(".")
        if not (issued.isascii() and issued.isdigit() and len(issued) < 16):
            return False
        signed = hmac.compare_digest(signature.encode(), self._sign(issued).encode())
        return signed and 0 <= self._now() - int(issued) < SESSION_S

    def _sign(self, issued: str) -> str:
        return hmac.new(self._token, f"console session {issued}".encode(), hashlib.sha256).hexdigest()


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def _read_cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
