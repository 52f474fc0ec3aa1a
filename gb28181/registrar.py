"""The platform side of registration: who is registered, where, and until when."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sip.auth import DigestServer, Ha1, Verdict
from sip.errors import MalformedMessage, SipError
from sip.flow import Flow
from sip.headers import is_plain_address
from sip.message import Request

from .bindings import Binding as Binding
from .bindings import KeepaliveResult as KeepaliveResult
from .bindings import Moved as Moved
from .bindings import Offline as Offline
from .bindings import OfflineCause as OfflineCause
from .bindings import Refreshed as Refreshed
from .bindings import Registered as Registered
from .bindings import RegisterResult as RegisterResult
from .bindings import RegistrarEvent as RegistrarEvent
from .bindings import Revived as Revived
from .edition import Edition

# An unknown device is verified against this, so that it takes as long as a known one and gets the
# same answers. Knowing it opens nothing: without a stored password the outcome is a refusal.
_NO_PASSWORD = "no password is stored"
_SANE_ID = re.compile(r"[0-9A-Za-z._\-]{1,64}\Z", re.ASCII)
# What a device may announce as its heartbeat (spec 09: invalid values occur); else the defaults.
_INTERVALS = (5.0, 3600.0)
_COUNTS = (1, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarConfig:
    """How a platform registers devices."""

    server_id: str
    default_expires: int = 3600
    """Granted when the device asks for no time (RFC 3261 10.3 step 7)."""
    min_expires: int = 60
    max_expires: int = 86400
    is_strict_about_expires: bool = False
    """Answer 423 to less than 3600 s, the least of the standard, in place of granting it."""
    is_strict_about_ids: bool = False
    """Refuse IDs that are not 20 digits."""
    unknown_status: int = 403
    """Answer to an ID without a password. 404 tells everybody which IDs exist."""
    keepalive_interval: float = 60.0
    keepalive_count: int = 3
    grace_share: float = 0.1
    grace: float = 2.0
    """Heartbeats come later than configured: this share and these seconds more are waited."""
    flow_grace: float = 30.0
    """Seconds that a device whose TCP connection broke has to register again."""
    edition: Edition = Edition.GB2022


class Registrar:
    """Keeps the bindings of one platform.

    It decides who may come in. Every REGISTER, a refresh and an unregistration as well, needs an
    answer to a challenge of ours; everything else is believed only from where a REGISTER was.

    Source: GB/T 28181-2016 and -2022, 9.1, 9.6, 2022 Annex I; RFC 3261 10.3.
    """

    def __init__(self, config: RegistrarConfig, digest: DigestServer) -> None:
        """Take the settings and the digest that makes and checks nonces."""
        self.config = config
        self._digest = digest
        is_new = config.edition is Edition.GB2022
        self._announced = (("X-GB-Ver", config.edition.version),) if is_new else ()
        self._bindings: dict[str, Binding] = {}
        self._at: dict[Flow, dict[str, None]] = {}
        self._due: list[tuple[float, str]] = []
        self._armed: dict[str, float] = {}

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """All devices that are registered, those with lost heartbeats too; also the snapshot."""
        return tuple(self._bindings.values())

    def binding(self, device_id: str) -> Binding | None:
        """Return the binding of a device."""
        return self._bindings.get(device_id)

    def devices_at(self, flow: Flow) -> tuple[str, ...]:
        """Return the devices whose last trusted message came by a flow.

        For messages whose From is not the device, and to tell known flows from strangers.
        """
        return tuple(self._at.get(flow, ()))

    def restore(self, bindings: Iterable[Binding], now: float, *, shift: float = 0.0) -> None:
        """Take a snapshot back after a restart; every device gets its full time to be heard.

        TCP connections did not survive: such a device has the usual grace to register again.

        Args:
            bindings: The snapshot.
            now: The time.
            shift: What to add to the times of the snapshot when they are of another clock.
        """
        for old in bindings:
            new = replace(
                old,
                expires_at=old.expires_at + shift,
                registered_at=old.registered_at + shift,
                last_seen=now,
                flow_lost_at=now if old.flow.reliable else None,
            )
            self._keep(new)

    def identify(self, request: Request) -> str:
        """Return the ID that a REGISTER is for, so that its password can be looked up.

        Raises:
            MalformedMessage: From has no user, or one that cannot be an ID.
        """
        user = request.from_user
        if not (user.isalnum() and user.isascii() and len(user) <= 64) and not _SANE_ID.match(user):
            raise MalformedMessage("From has no device ID as its user")
        return user

    def register(
        self,
        request: Request,
        flow: Flow,
        password: str | Ha1 | None,
        now: float,
        *,
        date: str | None = None,
        redirect: str | None = None,
        redirect_expires: int = 3600,
    ) -> RegisterResult:
        """Decide a REGISTER.

        Args:
            request: The REGISTER.
            flow: Where it came from.
            password: The device's password or HA1; None and the empty text refuse it.
            now: The time.
            date: The text of the Date header of a success; None leaves it out.
            redirect: Send the device, once it has proved who it is, to this Contact (302).
            redirect_expires: How long the device may remember that, in seconds.
        """
        try:
            device_id = self.identify(request)
            wish = _wish(request)
            contact, had_expires = _contact(request, device_id, flow)
            _ = request.call_id  # a missing one is refused here
        except SipError as exc:
            return self._refuse(400, "Bad Request", str(exc))
        # An empty password is a forgotten setting, not a wish to let everybody in.
        refused = self._admit(request, device_id, password or None, now)
        if refused is not None:
            return refused
        if redirect is not None and wish != 0:
            headers = (("Contact", redirect), ("Expires", str(redirect_expires)), *self._version())
            return RegisterResult(status=302, reason="Moved Temporarily", headers=headers)
        if wish == 0:
            return self._unregister(device_id, date)
        if self.config.is_strict_about_expires and wish is not None and wish < 3600:
            extra = (("Min-Expires", "3600"),)
            return self._refuse(423, "Interval Too Brief", f"{wish} s asked for", extra)
        granted = self._grant(wish)
        event = self._bind(request, device_id, flow, contact, granted, now)
        echoed = f"{contact};expires={granted}" if had_expires else contact
        headers = self._success([("Contact", echoed), ("Expires", str(granted))], date)
        return RegisterResult(status=200, reason="OK", headers=headers, event=event)

    def keepalive(
        self, device_id: str, flow: Flow, now: float, *, follow: bool = False
    ) -> KeepaliveResult:
        """Take a heartbeat; see ``touch``, which is the same for every other message."""
        return self.touch(device_id, flow, now, follow=follow)

    def touch(
        self,
        device_id: str,
        flow: Flow,
        now: float,
        *,
        follow: bool = False,
        is_large: bool = False,
    ) -> KeepaliveResult:
        """Take a message that names this device as its sender; it counts as a sign of life.

        The status is 403 unless it comes from where the device registered. On UDP a new source
        port of the same host is followed at once. What is too large for UDP may come over TCP from
        the same host (RFC 3261 section 18.1.1); the way back to the device stays as it is.

        Args:
            device_id: The sender.
            flow: Where the message came from.
            now: The time.
            follow: Follow to any address, without credentials: only for a device whose quirk it
                is never to register again.
            is_large: Whether the message may be too large for UDP.
        """
        old = self._bindings.get(device_id)
        if is_large and old is not None and _is_same_host_over_tcp(old.flow, flow):
            flow = old.flow
        if old is None or now >= old.expires_at or not (follow or _is_trusted(old, flow)):
            return KeepaliveResult(status=403)
        # A message may still be read after its connection broke; that does not mend it.
        lost = old.flow_lost_at if flow == old.flow else None
        new = old.heard(flow, now, lost)
        self._keep(new)
        if not old.online:
            return KeepaliveResult(status=200, event=Revived(binding=new, previous=old))
        if flow != old.flow:
            return KeepaliveResult(status=200, event=Moved(binding=new, previous=old))
        return KeepaliveResult(status=200)

    def set_keepalive(self, device_id: str, interval: float, count: int) -> None:
        """Set what heartbeats are expected of a device; invalid values become the defaults."""
        old = self._bindings.get(device_id)
        if old is None:
            return
        # Written so that a NaN is invalid too.
        if not _INTERVALS[0] <= interval <= _INTERVALS[1]:
            interval = self.config.keepalive_interval
        if not _COUNTS[0] <= count <= _COUNTS[1]:
            count = self.config.keepalive_count
        self._keep(replace(old, keepalive_interval=interval, keepalive_count=count))

    def flow_lost(self, flow: Flow, now: float) -> None:
        """Take the news that a TCP connection broke; its devices have a grace to register again."""
        for device_id in self.devices_at(flow):
            old = self._bindings[device_id]
            if old.flow_lost_at is None:
                self._keep(replace(old, flow_lost_at=now))

    def remove(self, device_id: str) -> Binding | None:
        """Forget a device, as an operator asks for; it must register again."""
        self._armed.pop(device_id, None)
        old = self._bindings.pop(device_id, None)
        if old is not None:
            self._leave(old)
        return old

    def next_timeout(self) -> float | None:
        """Return when ``poll`` wants to be called at the latest, or None."""
        self._drop_disarmed()
        return self._due[0][0] if self._due else None

    def poll(self, now: float) -> list[Offline]:
        """Return the devices whose registration, heartbeats or connection have run out."""
        events: list[Offline] = []
        while self._drop_disarmed() and self._due[0][0] <= now:
            _, device_id = heapq.heappop(self._due)
            del self._armed[device_id]
            event = self._expire(self._bindings[device_id], now)
            if event is not None:
                events.append(event)
        return events

    def _admit(
        self, request: Request, device_id: str, password: str | Ha1 | None, now: float
    ) -> RegisterResult | None:
        """Return the challenge or refusal, or None when the device is who it says it is."""
        if self.config.is_strict_about_ids and not (len(device_id) == 20 and device_id.isdecimal()):
            return self._refuse(403, "Forbidden", f"{device_id} is not an ID of 20 digits")
        if password is None and self.config.unknown_status == 404:
            return self._refuse(404, "Not Found", f"{device_id} is unknown")
        known = _NO_PASSWORD if password is None else password
        try:
            verdict = self._digest.verify(request, device_id, known, now)
        except SipError as exc:
            return self._refuse(400, "Bad Request", str(exc))
        if verdict is Verdict.NO_CREDENTIALS:
            return self._challenge(device_id, now)
        if verdict is Verdict.STALE:
            return self._challenge(device_id, now, stale=True, refusal="the nonce was used or old")
        if verdict is Verdict.FOREIGN_NONCE:
            return self._challenge(device_id, now, refusal="the nonce is not ours")
        if verdict is Verdict.OK and password is not None:
            return None
        said = "is unknown" if password is None else f"sent credentials that fail: {verdict.name}"
        return self._refuse(403, "Forbidden", f"{device_id} {said}")

    def _challenge(
        self, device_id: str, now: float, *, stale: bool = False, refusal: str = ""
    ) -> RegisterResult:
        values = self._digest.challenge(device_id, now, stale=stale)
        headers = tuple(("WWW-Authenticate", value) for value in values)
        return RegisterResult(
            status=401,
            reason="Unauthorized",
            headers=(*headers, *self._version()),
            refusal=refusal,
        )

    def _refuse(
        self, status: int, reason: str, sentence: str, extra: tuple[tuple[str, str], ...] = ()
    ) -> RegisterResult:
        headers = (*extra, *self._version())
        return RegisterResult(status=status, reason=reason, headers=headers, refusal=sentence)

    def _version(self) -> tuple[tuple[str, str], ...]:
        """2022 Annex I: in every response to REGISTER, of success or failure."""
        return self._announced

    def _grant(self, wish: int | None) -> int:
        if wish is None:
            return self.config.default_expires
        return max(self.config.min_expires, min(wish, self.config.max_expires))

    def _bind(
        self, request: Request, device_id: str, flow: Flow, contact: str, granted: int, now: float
    ) -> Registered | Refreshed:
        old = self._bindings.get(device_id)
        version = request.headers.get("X-GB-Ver")
        stays = old is not None and old.online and not _is_elsewhere(old.flow, flow)
        new = Binding(
            device_id=device_id,
            flow=flow,
            contact=contact,
            call_id=request.call_id,
            expires=granted,
            expires_at=now + granted,
            edition=None if version is None else Edition.from_version(version),
            user_agent=request.user_agent,
            registered_at=old.registered_at if old is not None and stays else now,
            last_seen=now,
            keepalive_interval=(self.config if old is None else old).keepalive_interval,
            keepalive_count=(self.config if old is None else old).keepalive_count,
        )
        self._keep(new)
        if old is not None and stays:
            return Refreshed(binding=new, previous=old)
        return Registered(binding=new, previous=old if old is not None and old.online else None)

    def _unregister(self, device_id: str, date: str | None) -> RegisterResult:
        old = self.remove(device_id)
        event = None
        # A device whose heartbeats were lost has been reported offline already.
        if old is not None and old.online:
            event = Offline(
                binding=old, cause=OfflineCause.UNREGISTERED, sentence="the device unregistered"
            )
        headers = self._success([("Expires", "0")], date)
        return RegisterResult(status=200, reason="OK", headers=headers, event=event)

    def _success(
        self, headers: list[tuple[str, str]], date: str | None
    ) -> tuple[tuple[str, str], ...]:
        dated = [] if date is None else [("Date", date)]  # 9.10
        return (*headers, *dated, *self._version())

    def _keep(self, binding: Binding) -> None:
        old = self._bindings.get(binding.device_id)
        self._bindings[binding.device_id] = binding
        if old is None or old.flow != binding.flow:
            if old is not None:
                self._leave(old)
            self._at.setdefault(binding.flow, {})[binding.device_id] = None
        self._arm(binding)

    def _leave(self, old: Binding) -> None:
        devices = self._at[old.flow]
        del devices[old.device_id]
        if not devices:
            del self._at[old.flow]

    def _arm(self, binding: Binding) -> None:
        """Each device has one live entry in the heap, at or before its real deadline.

        A heartbeat moves the deadline out and touches no heap; ``poll`` puts the entry back.
        """
        at, _ = self._deadline(binding)
        armed = self._armed.get(binding.device_id)
        if armed is None or at < armed:
            self._armed[binding.device_id] = at
            heapq.heappush(self._due, (at, binding.device_id))

    def _drop_disarmed(self) -> bool:
        while self._due and self._armed.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        return bool(self._due)

    def _silence(self, binding: Binding) -> float:
        """How long a device may be silent (9.6), with grace."""
        allowed = binding.keepalive_interval * binding.keepalive_count
        return allowed * (1 + self.config.grace_share) + self.config.grace

    def _deadline(self, binding: Binding) -> tuple[float, OfflineCause]:
        at, cause = binding.expires_at, OfflineCause.EXPIRED
        if binding.flow_lost_at is not None:
            lost_at = binding.flow_lost_at + self.config.flow_grace
            if lost_at < at:
                at, cause = lost_at, OfflineCause.FLOW_LOST
        if binding.online:
            silent_at = binding.last_seen + self._silence(binding)
            if silent_at < at:
                at, cause = silent_at, OfflineCause.SILENT
        return at, cause

    def _expire(self, binding: Binding, now: float) -> Offline | None:
        at, cause = self._deadline(binding)
        if now < at:
            self._arm(binding)
            return None
        if cause is OfflineCause.SILENT:
            # The registration stands until it expires: a heartbeat from its address revives it.
            binding = replace(binding, online=False)
            self._keep(binding)
            sentence = f"nothing was heard of the device for {now - binding.last_seen:.0f} s"
            return Offline(binding=binding, cause=cause, sentence=sentence)
        was_online = binding.online
        self.remove(binding.device_id)
        if not was_online:
            return None
        if cause is OfflineCause.EXPIRED:
            sentence = f"the registration of {binding.expires} s was not refreshed"
        else:
            sentence = "the connection broke and the device did not register again"
        return Offline(binding=binding, cause=cause, sentence=sentence)


def _is_same_host_over_tcp(registered: Flow, flow: Flow) -> bool:
    """Whether a device that registered over UDP sends something over TCP."""
    return not registered.reliable and flow.reliable and registered.remote[0] == flow.remote[0]


def _is_trusted(old: Binding, flow: Flow) -> bool:
    """The same flow, or over UDP the same host with another port (spec 02 section 2)."""
    if flow == old.flow:
        return True
    both_udp = flow.transport == old.flow.transport == "udp"
    return both_udp and flow.remote[0] == old.flow.remote[0]


def _is_elsewhere(old: Flow, new: Flow) -> bool:
    """A new port of the same host is a new mapping or connection, not another place."""
    return old.remote[0] != new.remote[0] or old.transport != new.transport


def _wish(request: Request) -> int | None:
    """Return the time asked for, None when none is."""
    wish = request.expires
    if wish != 0 and (request.headers.get("Contact") or "").strip() == "*":
        raise MalformedMessage("Contact * needs Expires 0")  # RFC 3261 10.3 step 6
    return wish


def _contact(request: Request, device_id: str, flow: Flow) -> tuple[str, bool]:
    """Return the Contact to echo, and whether it had an ``expires`` of its own."""
    text = request.headers.get("Contact") or ""
    if is_plain_address(text):
        return text, False
    contact = request.contact
    if contact is None:
        host, port = flow.remote
        shown = f"[{host}]" if ":" in host else host
        return f"<sip:{device_id}@{shown}:{port}>", False
    return f"<{contact.uri}>", "expires" in contact.parameters
