"""Access control: every request passes these checks before it reaches a route.

Rejects requests with an unknown ``Host`` (DNS rebinding), from another site's page, or with a key in the URL (URLs end
up in logs). Also rejects those above the rate limit, and those without a valid key where one is required.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import secrets
import socket
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders

from facebank.errors import FacebankError
from facebank.service.connections import network_of
from facebank.service.keys import PREFIX, Role
from facebank.service.options import is_loopback
from facebank.service.problems import RequestError, client_message, problem_of
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from facebank.service.client_text import ClientText
    from facebank.service.keys import KeyFile
    from facebank.service.options import ServiceOptions

SESSION_COOKIE = "facebank_session"
CSRF_HEADER = "x-csrf-token"
SESSION_SECONDS = 30 * 24 * 3600
PUBLIC_PATHS = ("/api/v1/health", "/sign-in", "/static/")
"""Paths without a key; those that end with a slash are prefixes."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_SESSIONS = 1_000
_MAX_CLIENTS = 10_000
_MAX_SHOWN = 100  # characters of a host name in a message
_KEY_PARAMETERS = frozenset({"token", "key", "api_key", "apikey", "x-api-key", "access_token", "authorization"})
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request."""

    name: str  # name of the key, or "this machine"
    role: Role  # role of the key; `Role.ADMIN` for this machine
    has_key: bool  # whether the request has a key in a header, which other sites' pages cannot send
    csrf: str  # CSRF token that pages send with every change


class Access:
    """The keys, sessions and rate limits of a service.

    Parameters
    ----------
    options
        The options of the service.
    keys
        The keys; without any, a service on the loopback interface is open.
    token
        An additional key with role `Role.ADMIN`.
    """

    def __init__(self, options: ServiceOptions, keys: KeyFile, token: str | None = None) -> None:
        self._options = options
        self._keys = keys
        self._token = token
        self._secret = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()  # key and expiry, by session
        self._request_rate = _RateLimiter(options.limits.requests_a_minute)
        self._invalid_key_rate = _RateLimiter(options.limits.wrong_keys_a_minute)
        self._verified: OrderedDict[tuple[str, bytes], None] = OrderedDict()  # networks, valid key hashes
        self._host_names = {"localhost", options.host.lower(), *(name.lower() for name in options.hosts)}
        if not is_loopback(options.host):
            self._host_names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}

    @property
    def is_open(self) -> bool:
        """Whether requests need no key."""
        return self._options.is_local and self._token is None and not self._keys.keys()

    def caller(self, scope: Scope) -> Caller | None:
        """Return the caller of a request; None if it has no key but one is required.

        Raises
        ------
        RequestError
            The key is not valid (401), a rate limit is exceeded (429), or the host, origin, length or query of the
            request is not allowed (400, 403).
        """
        headers = Headers(scope=scope)
        _check_length(headers)
        self._check_host(headers.get("host", ""))
        _check_origin(headers, scope["method"])
        _check_query(scope["query_string"])
        address = str((scope.get("client") or ("",))[0])
        try:
            caller = self._find_caller(headers, address)
        except RequestError:
            self._limit_rate(address)
            raise
        self._limit_rate(address if caller is None else caller.name)
        return caller

    def sign_in(self, key_text: str, address: str) -> str | None:
        """Start a session for a key; returns None if the key is not valid.

        Raises `RequestError` (429) after too many invalid keys from this address.
        """
        if self._check_key(key_text, address) is None:
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[session] = key_text, time.monotonic() + SESSION_SECONDS
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def sign_out(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(session, None)

    def _find_caller(self, headers: Headers, address: str) -> Caller | None:
        key_text = headers.get("x-api-key")
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if key_text is None and scheme.lower() == "bearer":
            key_text = credentials.strip()
        if key_text is not None:
            owner = self._key_owner(key_text) if self.is_open else self._check_key(key_text, address)
            if owner is not None:
                return Caller(*owner, has_key=True, csrf="")
            if not self.is_open:
                raise RequestError(
                    401, "KeyNotValid", "the key is invalid or was revoked: send a valid key", _CHALLENGE
                )
        if self.is_open:  # clients that always send a key may send any
            return Caller("this machine", Role.ADMIN, has_key=key_text is not None, csrf=self._csrf("this machine"))
        session = _cookie(headers, SESSION_COOKIE)
        key_text, expires_at = self._sessions.get(session, ("", 0.0))
        owner = self._key_owner(key_text) if expires_at > time.monotonic() else None
        return None if owner is None else Caller(*owner, has_key=False, csrf=self._csrf(session))

    def _check_key(self, key_text: str, address: str) -> tuple[str, Role] | None:
        """Return the name and role of a key, or None for an invalid one; invalid keys are rate-limited per address.

        Above the limit only keys that were valid from this address are checked, because clients may share an address.
        """
        network = network_of(address)
        attempt = network, hashlib.sha256(_bytes(key_text)).digest()
        wait = 0.0 if attempt in self._verified else self._invalid_key_rate.wait(network)
        if wait:
            raise RequestError(
                429,
                "TooManyWrongKeys",
                "too many wrong keys came from this address: try again later",
                {"Retry-After": str(math.ceil(wait))},
            )
        owner = self._key_owner(key_text)
        if owner is None:
            self._verified.pop(attempt, None)
            self._invalid_key_rate.take(network)
        else:
            self._verified[attempt] = None
            self._verified.move_to_end(attempt)
            while len(self._verified) > _MAX_CLIENTS:
                self._verified.popitem(last=False)
        return owner

    def _key_owner(self, key_text: str) -> tuple[str, Role] | None:
        if self._token is not None and hmac.compare_digest(_bytes(key_text), _bytes(self._token)):
            return "the token of the service", Role.ADMIN
        return self._keys.owner_of(key_text)

    def _csrf(self, session: str) -> str:
        return hmac.new(self._secret, _bytes(session), hashlib.sha256).hexdigest()

    def _check_host(self, host: str) -> None:
        name = _hostname(host)
        if name in self._host_names or is_loopback(name):
            return
        if not is_loopback(self._options.host) and _is_address(name):  # an address, so DNS rebinding is not possible
            return
        raise RequestError(
            403,
            "UnknownHost",
            f"unknown host name {printable(name[:_MAX_SHOWN])!r}: start the service with --allow-host to allow it",
        )

    def _limit_rate(self, client: str) -> None:
        wait = self._request_rate.wait(client)
        self._request_rate.take(client)
        if wait:
            limit = self._options.limits.requests_a_minute
            raise RequestError(
                429,
                "TooMany",
                f"at most {limit:g} requests a minute are allowed: try again later",
                {"Retry-After": str(math.ceil(wait))},
            )


class _RateLimiter:
    """Limits the rate of each client's actions, with bursts."""

    def __init__(self, a_minute: float) -> None:
        self._limit = float(a_minute)
        # number of actions allowed at once, and the time of counting it, by client
        self._allowances: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Return the seconds until the client's next allowed action; 0 if allowed now."""
        return max(0.0, (1.0 - self._available(client)) * 60.0 / self._limit)

    def take(self, client: str) -> None:
        """Count one action."""
        self._allowances[client] = max(0.0, self._available(client) - 1.0), time.monotonic()
        self._allowances.move_to_end(client)
        while len(self._allowances) > _MAX_CLIENTS:
            self._allowances.popitem(last=False)

    def _available(self, client: str) -> float:
        allowance, since = self._allowances.get(client, (self._limit, 0.0))
        return min(self._limit, allowance + (time.monotonic() - since) * self._limit / 60.0)


class GuardedApp:
    """Passes requests allowed by `Access` to an application, and adds security headers to responses."""

    def __init__(self, app: ASGIApp, access: Access, text: ClientText) -> None:
        self._app = app
        self._access = access
        self._text = text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or reject it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            caller = self._access.caller(scope)
            if caller is None and scope["method"] not in _SAFE_METHODS and not scope["path"].startswith(PUBLIC_PATHS):
                raise _missing_key_error()  # before the body is read
        except FacebankError as error:
            await problem_of(error, client_message(error, self._text, scope))(scope, receive, send_with_headers)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send_with_headers)


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="facebank"'}


def caller_of(request: Request) -> Caller:
    """Return the caller; raises `RequestError` (401) if there is none."""
    caller: Caller | None = request.scope["state"]["caller"]
    if caller is None:
        raise _missing_key_error()
    return caller


def _missing_key_error() -> RequestError:
    return RequestError(401, "KeyNeeded", "send a key as 'Authorization: Bearer KEY' or 'x-api-key: KEY'", _CHALLENGE)


def require(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """Return a route dependency that requires a role, and a CSRF token for changes from a page.

    The dependency raises `RequestError`: 401 without a key, 403 for a lower role or an invalid token.
    """

    async def check_caller(request: Request) -> Caller:
        caller = caller_of(request)
        if caller.role < role:
            raise RequestError(
                403,
                "RoleTooLow",
                f"the key has the role '{caller.role.name.lower()}': send one with the role '{role.name.lower()}'",
            )
        is_from_page = "origin" in request.headers or "sec-fetch-site" in request.headers
        if request.method not in _SAFE_METHODS and is_from_page and not caller.has_key:
            csrf_token = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(_bytes(csrf_token), _bytes(caller.csrf)):
                raise RequestError(403, "PageOutdated", "the page was loaded before a restart: reload it")
        return caller

    return check_caller


# Callers of routes that require a role.
ReadCaller = Annotated[Caller, Depends(require(Role.READ))]
TeachCaller = Annotated[Caller, Depends(require(Role.TEACH))]
AdminCaller = Annotated[Caller, Depends(require(Role.ADMIN))]


def _check_length(headers: Headers) -> None:
    if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may use the other one
        raise RequestError(
            400, "TwoLengths", "send either Content-Length or Transfer-Encoding, not both", {"Connection": "close"}
        )


def _check_origin(headers: Headers, method: str) -> None:
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin == "null" and site == "same-origin":  # our own form: pages send no referrer and therefore no origin
        origin = None
    is_visit = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    is_foreign = origin is not None and _netloc(origin) != headers.get("host", "").lower()
    if is_foreign or (site not in {"none", "same-origin"} and not is_visit):
        raise RequestError(
            403, "OtherSite", "a page of another site sent this request: use the pages of this service, or a program"
        )


def _check_query(query: bytes) -> None:
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name.lower() in _KEY_PARAMETERS or value.startswith(PREFIX):
            raise RequestError(
                400, "KeyInAddress", "a key in a URL ends up in logs: send it as a header, and replace the key"
            )


def _cookie(headers: Headers, cookie: str) -> str:
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == cookie:
            return value
    return ""


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
