"""The device side of registration: register, refresh, keep alive, back off, follow a redirect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto

from sip.errors import LocalProtocolError, SipError, UnsupportedChallenge
from sip.headers import NameAddr
from sip.machine import Machine
from sip.message import Headers, Request, Response, granted

from .edition import Edition
from .proofs import CHALLENGES, Proofs

# Spec 02 section 3.3, decision: at most five hops, no revisits.
MAX_HOPS = 5
# A transaction lives 32 s (RFC 3261 timer F); an attempt that nobody reports on ends after this,
# so that the registration goes on whatever its caller forgets.
ATTEMPT = 40.0
# An upper bound for what a server may make us wait with Retry-After, and ask with Min-Expires.
MAX_WAIT = 3600.0
MAX_EXPIRES = 7 * 86400


class RegistrationState(Enum):
    """Where a registration stands."""

    IDLE = auto()
    REGISTERING = auto()
    REGISTERED = auto()
    BACKING_OFF = auto()
    UNREGISTERING = auto()
    STOPPED = auto()


class Input(Enum):
    """What can happen to a registration."""

    START = auto()
    STOP = auto()
    CHALLENGED = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    REDIRECTED = auto()
    TOO_BRIEF = auto()
    FAILED = auto()
    FLOW_LOST = auto()
    REFRESH_DUE = auto()
    RETRY_DUE = auto()
    EXPIRED = auto()
    KEEPALIVE_DUE = auto()
    KEEPALIVE_OK = auto()
    KEEPALIVE_MISSED = auto()
    KEEPALIVE_REFUSED = auto()
    SERVER_SILENT = auto()


class Step(Enum):
    """What a row of the table makes happen, in the order of the row."""

    NEW_SERIES = auto()
    GO_HOME = auto()
    SEND = auto()
    ANSWER_CHALLENGE = auto()
    RAISE_EXPIRES = auto()
    FOLLOW_REDIRECT = auto()
    TAKE_GRANT = auto()
    ARM_KEEPALIVE = auto()
    SEND_KEEPALIVE = auto()
    CLEAR_MISSED = auto()
    COUNT_MISSED = auto()
    ARM_RETRY = auto()
    RETRY_REFRESH = auto()
    DISARM = auto()


_S, _I, _A = RegistrationState, Input, Step
_FINAL = (_I.ACCEPTED, _I.REFUSED, _I.REDIRECTED, _I.TOO_BRIEF)
_PAUSE = (Step.DISARM, Step.GO_HOME, Step.ARM_RETRY)
_ELSEWHERE = (Step.DISARM, Step.FOLLOW_REDIRECT, Step.NEW_SERIES, Step.SEND)
_AGAIN = (Step.DISARM, Step.GO_HOME, Step.NEW_SERIES, Step.SEND)

TABLE: dict[tuple[RegistrationState, Input], tuple[RegistrationState, tuple[Step, ...]]] = {
    # 9.1.2.1: basic registration.
    (_S.IDLE, _I.START): (_S.REGISTERING, (_A.NEW_SERIES, _A.SEND)),
    (_S.IDLE, _I.STOP): (_S.STOPPED, ()),
    (_S.IDLE, _I.FLOW_LOST): (_S.IDLE, ()),
    (_S.REGISTERING, _I.CHALLENGED): (_S.REGISTERING, (_A.ANSWER_CHALLENGE,)),
    (_S.REGISTERING, _I.ACCEPTED): (_S.REGISTERED, (_A.TAKE_GRANT, _A.ARM_KEEPALIVE)),
    # 9.1.1: after a refusal, or no answer, at least 60 s; 2022 7.1 c: and a random time more.
    # 2022 9.1.2.3: when the server of a redirect refuses, start again where it came from.
    (_S.REGISTERING, _I.REFUSED): (_S.BACKING_OFF, _PAUSE),
    (_S.REGISTERING, _I.FAILED): (_S.BACKING_OFF, _PAUSE),
    (_S.REGISTERING, _I.FLOW_LOST): (_S.BACKING_OFF, _PAUSE),
    (_S.REGISTERING, _I.REDIRECTED): (_S.REGISTERING, _ELSEWHERE),
    (_S.REGISTERING, _I.TOO_BRIEF): (_S.REGISTERING, (_A.RAISE_EXPIRES, _A.SEND)),
    (_S.REGISTERING, _I.STOP): (_S.UNREGISTERING, (_A.DISARM, _A.SEND)),
    # 9.1.1: refresh before the granted time is over, with the same Call-ID (RFC 3261 10.2.4).
    (_S.REGISTERED, _I.REFRESH_DUE): (_S.REGISTERED, (_A.SEND,)),
    (_S.REGISTERED, _I.CHALLENGED): (_S.REGISTERED, (_A.ANSWER_CHALLENGE,)),
    (_S.REGISTERED, _I.ACCEPTED): (_S.REGISTERED, (_A.TAKE_GRANT,)),
    (_S.REGISTERED, _I.REFUSED): (_S.BACKING_OFF, _PAUSE),
    (_S.REGISTERED, _I.REDIRECTED): (_S.REGISTERING, _ELSEWHERE),
    (_S.REGISTERED, _I.TOO_BRIEF): (_S.REGISTERED, (_A.RAISE_EXPIRES, _A.SEND)),
    (_S.REGISTERED, _I.FAILED): (_S.REGISTERED, (_A.RETRY_REFRESH,)),
    (_S.REGISTERED, _I.EXPIRED): (_S.REGISTERING, _AGAIN),
    # 2022 9.1.1 f: a broken TCP connection is a lost registration; again after the usual pause.
    (_S.REGISTERED, _I.FLOW_LOST): (_S.BACKING_OFF, _PAUSE),
    (_S.REGISTERED, _I.STOP): (_S.UNREGISTERING, (_A.DISARM, _A.SEND)),
    # 9.6: no answer to ``count`` heartbeats in a row: the server is offline, register again.
    (_S.REGISTERED, _I.KEEPALIVE_DUE): (_S.REGISTERED, (_A.ARM_KEEPALIVE, _A.SEND_KEEPALIVE)),
    (_S.REGISTERED, _I.KEEPALIVE_OK): (_S.REGISTERED, (_A.CLEAR_MISSED,)),
    (_S.REGISTERED, _I.KEEPALIVE_MISSED): (_S.REGISTERED, (_A.COUNT_MISSED,)),
    (_S.REGISTERED, _I.SERVER_SILENT): (_S.REGISTERING, _AGAIN),
    # Practice (spec 07 section 2): a server that lost its state answers a heartbeat 401/403/404.
    (_S.REGISTERED, _I.KEEPALIVE_REFUSED): (_S.REGISTERING, _AGAIN),
    (_S.BACKING_OFF, _I.RETRY_DUE): (_S.REGISTERING, (_A.DISARM, _A.NEW_SERIES, _A.SEND)),
    (_S.BACKING_OFF, _I.FLOW_LOST): (_S.BACKING_OFF, ()),
    (_S.BACKING_OFF, _I.STOP): (_S.STOPPED, (_A.DISARM,)),
    # A person may ask for an attempt at once.
    (_S.BACKING_OFF, _I.START): (_S.REGISTERING, (_A.DISARM, _A.NEW_SERIES, _A.SEND)),
    # 9.1.2.2: unregistering is challenged like registering; what the server says ends it anyhow.
    (_S.UNREGISTERING, _I.CHALLENGED): (_S.UNREGISTERING, (_A.ANSWER_CHALLENGE,)),
    **dict.fromkeys(
        ((_S.UNREGISTERING, said) for said in (*_FINAL, _I.FAILED, _I.FLOW_LOST)),
        (_S.STOPPED, (_A.DISARM,)),
    ),
    (_S.UNREGISTERING, _I.STOP): (_S.UNREGISTERING, ()),
    (_S.STOPPED, _I.START): (_S.REGISTERING, (_A.NEW_SERIES, _A.SEND)),
    (_S.STOPPED, _I.STOP): (_S.STOPPED, ()),
    (_S.STOPPED, _I.FLOW_LOST): (_S.STOPPED, ()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationConfig:
    """What a device or a lower platform knows about its server."""

    device_id: str
    """Our own ID: the user of From and To."""
    server_id: str
    """The server's ID: the user of the Request-URI."""
    domain: str
    """The SIP domain of From, To and the Request-URI; usually ten digits."""
    server: str = ""
    """Where to send: ``udp://host:port`` or ``tcp://host:port``."""
    contact: str = ""
    """The Contact value, with its angle brackets; left out when empty (the sender adds its own)."""
    username: str = ""
    """The digest user; the device ID when empty."""
    password: str = ""
    expires: int = 3600
    """The time asked for. The time granted is what counts."""
    keepalive_interval: float = 60.0
    keepalive_count: int = 3
    """This many heartbeats in a row without an answer mean that the server is offline."""
    retry: float = 60.0
    """The pause after a failed attempt; never less than 60 s by the standard (9.1.1)."""
    retry_spread: float = 30.0
    """Up to this much more, at random (2022 7.1 c)."""
    refused_retry: float | None = None
    """The pause after 403 and 404; ``retry`` when None. Cascades use 300 s."""
    edition: Edition = Edition.GB2022
    redirect_hosts: tuple[str, ...] | None = None
    """Hosts that a 302 may name; None trusts every host that the server names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRegister:
    """Send this REGISTER; give its answer to ``receive``, a failure to ``request_failed``."""

    request: Request
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendKeepalive:
    """Send a Keepalive command with this SN; report to ``keepalive_answered`` or ``_failed``."""

    sn: int
    target: str
    server_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The registration is in another state now."""

    state: RegistrationState
    reason: str


Action = SendRegister | SendKeepalive | StateChanged


class Registration:
    """Keeps one registration at one server alive, without sockets and clocks.

    Every call returns the actions it causes, in order. The caller sends what it is told to send
    and calls ``poll`` when ``next_timeout`` has come.

    Source: GB/T 28181-2016 and -2022, 9.1 and 9.6; redirect: 2022 9.1.2.3.
    """

    def __init__(
        self,
        config: RegistrationConfig,
        *,
        token: Callable[[], str],
        jitter: Callable[[], float],
    ) -> None:
        """Take the settings, a source of random text, and one of random numbers from 0 to 1."""
        self.config = config
        self.reason = ""
        self.granted: int | None = None
        self.server_edition: Edition | None = None
        self.server_date: str | None = None
        self.server_id = config.server_id
        self.target = config.server
        self.dropped = 0
        self._machine = Machine(TABLE, RegistrationState.IDLE)
        self._token = token
        self._jitter = jitter
        self._call_id = ""
        self._tag = ""
        self._cseq = self._sn = self._missed = 0
        self._first_sn = 1
        self._expires = config.expires
        self._domain = config.domain
        self._visited: list[str] = []
        self._pending: Request | None = None
        self._proofs = Proofs()
        self._response: Response | None = None
        self._offered: int | None = None
        self._least = 0
        self._redirect: NameAddr | None = None
        self._pause: float | None = None
        self._attempt_at: float | None = None
        self._refresh_at: float | None = None
        self._expires_at: float | None = None
        self._keepalive_at: float | None = None
        self._retry_at: float | None = None
        self._actions: list[Action] = []

    @property
    def state(self) -> RegistrationState:
        """Where the registration stands."""
        return self._machine.state

    @property
    def registered(self) -> bool:
        """Whether the server holds a registration of ours that has not run out."""
        return self.state is RegistrationState.REGISTERED

    def start(self, now: float) -> list[Action]:
        """Begin to register, or try at once while backing off.

        Raises:
            LocalProtocolError: It has begun already.
        """
        if (self.state, Input.START) not in TABLE:
            raise LocalProtocolError(f"a registration that is {self.state.name} cannot be started")
        self._walk(Input.START, now, "started")
        return self._take()

    def stop(self, now: float) -> list[Action]:
        """Unregister; the state is STOPPED when the server has answered or failed to."""
        self._walk(Input.STOP, now, "stopped")
        return self._take()

    def reconfigure(self, config: RegistrationConfig, now: float) -> None:
        """Take other settings; a registration that stands is refreshed with them at once."""
        self.config, self._expires = config, config.expires
        if self.registered:
            self._refresh_at = self._keepalive_at = now

    def receive(self, response: Response, now: float) -> list[Action]:
        """Take the final answer to a REGISTER; one that answers no open request is dropped."""
        try:
            number = response.cseq.number
            call_id = response.call_id
        except SipError:
            number, call_id = -1, ""
        if self._pending is None or response.status < 200:
            self.dropped += 1
            return []
        if number != self._cseq or call_id != self._call_id:
            self.dropped += 1
            return []
        self._response = response
        version = response.headers.get("X-GB-Ver")
        if version is not None:
            self.server_edition = Edition.from_version(version)
        self._walk(*self._judge(response, now))
        return self._take()

    def request_failed(
        self, cause: str, now: float, *, request: Request | None = None
    ) -> list[Action]:
        """Take the news that a REGISTER got no answer; ``request`` tells which one."""
        if self._pending is None or (request is not None and request is not self._pending):
            self.dropped += 1
            return []
        self._pending = None
        self._walk(Input.FAILED, now, cause)
        return self._take()

    def flow_lost(self, now: float, cause: str = "the connection was lost") -> list[Action]:
        """Take the news that the connection of this registration is broken."""
        self._pending = None
        self._walk(Input.FLOW_LOST, now, cause)
        return self._take()

    def keepalive_answered(self, status: int, now: float, *, sn: int | None = None) -> list[Action]:
        """Take the final status that answered a heartbeat."""
        if self._is_old(sn):
            return []
        if status in (401, 403, 404):
            reason = f"the server answered a heartbeat with {status}"
            self._walk(Input.KEEPALIVE_REFUSED, now, reason)
        elif status >= 300:
            return self.keepalive_failed(now, sn=sn)
        else:
            self._walk(Input.KEEPALIVE_OK, now, "")
        return self._take()

    def keepalive_failed(self, now: float, *, sn: int | None = None) -> list[Action]:
        """Take the news that a heartbeat got no answer."""
        if self._is_old(sn):
            return []
        self._walk(Input.KEEPALIVE_MISSED, now, "")
        if self.registered and self._missed >= self.config.keepalive_count:
            reason = f"{self._missed} heartbeats in a row without an answer"
            self._walk(Input.SERVER_SILENT, now, reason)
        return self._take()

    def next_timeout(self) -> float | None:
        """Return when ``poll`` wants to be called, or None."""
        own = (self._refresh_at, self._expires_at, self._keepalive_at, self._retry_at)
        attempt = self._attempt_at if self._pending is not None else None
        return min((time for time in (attempt, *own) if time is not None), default=None)

    def poll(self, now: float) -> list[Action]:
        """Do what is due."""
        if self._pending is not None and self._attempt_at is not None and now >= self._attempt_at:
            self._pending = None
            self._walk(Input.FAILED, now, f"nothing came of the attempt within {ATTEMPT:.0f} s")
        if self._expires_at is not None and now >= self._expires_at:
            self._walk(Input.EXPIRED, now, "the registration ran out before it could be refreshed")
        if self._retry_at is not None and now >= self._retry_at:
            self._walk(Input.RETRY_DUE, now, "trying again")
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            self._walk(Input.REFRESH_DUE, now, "")
        if self._keepalive_at is not None and now >= self._keepalive_at:
            self._walk(Input.KEEPALIVE_DUE, now, "")
        return self._take()

    def _judge(self, response: Response, now: float) -> tuple[Input, float, str]:
        said = f"the server answered {response.status} {response.reason}".rstrip()
        if response.status in CHALLENGES:
            return self._judge_challenge(response, now)
        self._proofs.clear()
        self._pending = None
        if response.status < 300:
            return self._judge_success(response, now, said)
        if response.status == 302:
            return self._judge_redirect(response, now, said)
        self._least = _least(response)
        if response.status == 423 and self._least > self._expires:
            return Input.TOO_BRIEF, now, said
        self._pause = self._asked_pause(response)
        return Input.REFUSED, now, said

    def _judge_challenge(self, response: Response, now: float) -> tuple[Input, float, str]:
        """A nonce that we have answered already means that the password is wrong (spec 02 3.1)."""
        fault = self._proofs.take(response)
        if fault:
            self._pending = None
            return Input.REFUSED, now, fault
        return Input.CHALLENGED, now, "challenged"

    def _judge_success(self, response: Response, now: float, said: str) -> tuple[Input, float, str]:
        self._offered = granted(response, self.config.contact)
        if self._offered == 0 and self.state is not _S.UNREGISTERING:
            return Input.REFUSED, now, f"{said} and granted no time"
        return Input.ACCEPTED, now, said

    def _judge_redirect(
        self, response: Response, now: float, said: str
    ) -> tuple[Input, float, str]:
        try:
            contact = response.contact
        except SipError:
            contact = None
        fault = self._redirect_fault(contact)
        if fault:
            return Input.REFUSED, now, f"{said}: {fault}"
        self._redirect = contact
        return Input.REDIRECTED, now, said

    def _redirect_fault(self, contact: NameAddr | None) -> str:
        if contact is None or not contact.uri.host:
            return "no usable Contact"
        user, host = contact.uri.user, contact.uri.host
        if len(user) != 20 or not user.isdigit() or user[10:13] != "200":
            return f"{user or 'an empty ID'} is not the ID of a platform"
        hosts = self.config.redirect_hosts
        if hosts is not None and host not in hosts:
            return f"{host} is not among the hosts that a redirect may name"
        if _target(contact, self.target) in (self.config.server, *self._visited):
            return "the redirect leads back to a server that was asked already"
        if len(self._visited) >= MAX_HOPS:
            return f"more than {MAX_HOPS} redirects"
        return ""

    def _asked_pause(self, response: Response) -> float:
        pause = self.config.retry
        if response.status in (403, 404) and self.config.refused_retry is not None:
            pause = self.config.refused_retry
        text = (response.headers.get("Retry-After") or "").split("(")[0].split(";")[0].strip()
        return max(pause, min(float(text), MAX_WAIT)) if text.isdecimal() else pause

    def _is_old(self, sn: int | None) -> bool:
        """A heartbeat of an earlier registration says nothing about this one."""
        if sn is not None and sn < self._first_sn:
            self.dropped += 1
            return True
        return False

    def _walk(self, happened: Input, now: float, reason: str) -> None:
        before = self.state
        steps = self._machine.receive(happened)
        if steps is None:
            self.dropped += 1
            return
        if self.state is not before:
            self.reason = reason
            self._actions.append(StateChanged(state=self.state, reason=reason))
        for step in steps:
            self._do(step, now)

    def _take(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _do(self, step: Step, now: float) -> None:
        match step:
            case Step.NEW_SERIES:
                # A Call-ID for each series: some servers refuse a first REGISTER with a known one.
                self._call_id, self._tag, self._cseq = self._token(), self._token(), 0
                self._proofs.clear()
            case Step.GO_HOME:
                self._go_home()
            case Step.SEND:
                self._proofs.clear()
                self._send(now)
            case Step.ANSWER_CHALLENGE:
                self._answer(now)
            case Step.RAISE_EXPIRES:
                self._expires = self._least
            case Step.FOLLOW_REDIRECT:
                self._follow()
            case Step.TAKE_GRANT:
                self._take_grant(now)
            case _:
                self._do_timed(step, now)

    def _do_timed(self, step: Step, now: float) -> None:
        match step:
            case Step.ARM_KEEPALIVE:
                self._keepalive_at = now + self.config.keepalive_interval
            case Step.SEND_KEEPALIVE:
                self._sn += 1
                self._actions.append(
                    SendKeepalive(sn=self._sn, target=self.target, server_id=self.server_id)
                )
            case Step.CLEAR_MISSED:
                self._missed = 0
            case Step.COUNT_MISSED:
                self._missed += 1
            case Step.ARM_RETRY:
                pause = self.config.retry if self._pause is None else self._pause
                self._pause = None
                self._retry_at = now + pause + self._jitter() * self.config.retry_spread
            case Step.RETRY_REFRESH:
                self._refresh_at = now + self.config.retry
            case _:
                self._disarm()

    def _disarm(self) -> None:
        self._refresh_at = self._expires_at = self._keepalive_at = self._retry_at = None
        self._missed = 0
        self._first_sn = self._sn + 1
        self.granted = None

    def _go_home(self) -> None:
        self.server_id = self.config.server_id
        self.target = self.config.server
        self._domain = self.config.domain
        self._visited = []

    def _follow(self) -> None:
        assert self._redirect is not None
        self.target = _target(self._redirect, self.target)
        self._visited.append(self.target)
        self.server_id = self._redirect.uri.user
        self._domain = self.server_id[:10]

    def _take_grant(self, now: float) -> None:
        self.granted = self._expires if self._offered is None else self._offered
        self.server_date = None if self._response is None else self._response.headers.get("Date")
        self._expires_at = now + self.granted
        self._refresh_at = now + refresh_after(self.granted)

    def _send(self, now: float, credentials: Iterable[tuple[str, str]] = ()) -> None:
        self._cseq += 1
        expires = 0 if self.state is RegistrationState.UNREGISTERING else self._expires
        own = f"<sip:{self.config.device_id}@{self.config.domain}>"
        headers = Headers(
            [
                ("From", f"{own};tag={self._tag}"),
                ("To", own),
                ("Call-ID", self._call_id),
                ("CSeq", f"{self._cseq} REGISTER"),
            ]
        )
        if self.config.contact:
            headers.add("Contact", self.config.contact)
        for name, value in credentials:
            headers.add(name, value)
        headers.add("Expires", str(expires))
        if self.config.edition is Edition.GB2022:
            headers.add("X-GB-Ver", self.config.edition.version)  # 2022 Annex I
        self._pending = Request("REGISTER", self._uri(), headers)
        self._attempt_at = now + ATTEMPT
        self._actions.append(SendRegister(request=self._pending, target=self.target))

    def _uri(self) -> str:
        return f"sip:{self.server_id}@{self._domain}"

    def _answer(self, now: float) -> None:
        try:
            credentials = self._proofs.fields(
                username=self.config.username or self.config.device_id,
                password=self.config.password,
                method="REGISTER",
                uri=self._uri(),
                cnonce=self._token(),
            )
        except UnsupportedChallenge as exc:
            self._pending = None
            self._walk(Input.REFUSED, now, f"the challenge cannot be answered: {exc}")
            return
        self._send(now, credentials)


def refresh_after(granted: float) -> float:
    """Return after how much of the granted time to refresh it.

    At 2/3, and 60 s before the end; where that leaves less than half, after half.
    """
    return granted - max(granted / 3, min(60.0, granted / 2))


def _least(response: Response) -> int:
    text = (response.headers.get("Min-Expires") or "").strip()
    return int(text) if text.isdecimal() and len(text) < 8 and int(text) <= MAX_EXPIRES else 0


def _target(contact: NameAddr, current: str) -> str:
    """Return where a redirect leads, by the transport it names or the one in use."""
    host, port = contact.uri.address
    transport = contact.uri.transport or current.partition("://")[0] or "udp"
    return f"{transport}://[{host}]:{port}" if ":" in host else f"{transport}://{host}:{port}"
