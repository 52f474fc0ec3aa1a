"""Bends the signalling of a device: what it sends, what it hears, and what it says unasked."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .bodies import bend_body, is_large
from .description import bend_answer
from .draft import Draft

if TYPE_CHECKING:
    from ..habits import Habits

_NOISE = (b"\x00\x01\x02\x03" * 8, b"GET / HTTP/1.1\r\n\r\n", b"$\x00\x10garbage", b"\xff" * 40)
_BRANCH = re.compile(r"branch=([^;,\s]*)")
_HOST = re.compile(r"@[^>;]*|^(SIP/2\.0/\w+ )[^;]*")
_REMEMBERED = 16
_LATE = 2.0
_MEDIA_EARLY = 0.2


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to send, after a while."""

    data: bytes
    delay: float = 0.0
    own_connection: bool = False
    """Over TCP: through a connection of its own."""


@dataclass(slots=True)
class Bent:
    """What becomes of one message: what goes out, and what the device itself is to hear."""

    sent: list[Piece]
    heard: list[bytes]


class Signalling:
    """The habits of one device on its SIP port. Pure: bytes in, bytes and delays out."""

    def __init__(
        self, habits: Habits, *, clock_offset: float = 0.0, keeps_register: bool = False
    ) -> None:
        """Bend one device's messages.

        Args:
            habits: Of the device.
            clock_offset: Seconds that its clock is off by.
            keeps_register: Whether ``surplus_register`` will be asked for one.
        """
        self.clock_offset = clock_offset
        self._habits = habits
        self._bends = bool(habits.names) or clock_offset != 0.0 or keeps_register
        self._is_armed = not habits.arms_first
        self._refusals = deque(habits.invite_refusals)
        self._refused: set[str] = set()
        self._registered = False
        self._register: Draft | None = None
        self._notice: Draft | None = None
        self._surplus = 0
        self._faulty: dict[str, list[bytes]] = {}
        self._is_spoilt = not (habits.cuts_catalog or habits.corrupts_catalog)

    # What it sends ------------------------------------------------------------------------------

    def outgoing(self, data: bytes) -> Bent:
        """Bend what the device sends."""
        draft = Draft.parse(data) if self._bends else None
        if draft is None:
            return Bent([Piece(data)], [])
        if draft.is_request:
            return self._request(draft)
        return self._response(draft)

    def _request(self, draft: Draft) -> Bent:
        habits, method = self._habits, draft.method
        if habits.omits_rport:
            draft.set("Via", draft.get("Via").replace(";rport", ""))
        if habits.early_to_tag and draft.is_initial:
            draft.set("To", f"{draft.get('To')};tag=early")
        if method == "REGISTER":
            return self._registration(draft)
        if method != "MESSAGE":
            return Bent([Piece(draft.to_bytes())], [])
        return self._message(draft)

    def _registration(self, draft: Draft) -> Bent:
        habits = self._habits
        if habits.registers_once and self._registered:
            return Bent([], [Draft.reply(draft, "200 OK")])
        if habits.contact_host:
            draft.set("Contact", _HOST.sub(f"@{habits.contact_host}:5060", draft.get("Contact")))
            via = _HOST.sub(rf"\g<1>{habits.contact_host}:5060", draft.get("Via"))
            draft.set("Via", via)
        if habits.route_header:
            target = draft.start.split(" ")[1]
            draft.set("Route", f"<{target};lr>")
        if not draft.get("Authorization"):
            self._register = draft
        return Bent([Piece(draft.to_bytes())], [])

    def _message(self, draft: Draft) -> Bent:
        habits = self._habits
        cmd_type, root = draft.cmd_type, draft.root
        if habits.silent_after_register and cmd_type == "Keepalive":
            return Bent([], [draft.reply("200 OK")])
        if cmd_type == "Alarm" and root == "Notify" and not self._is_armed:
            return Bent([], [draft.reply("200 OK")])
        if habits.content_type:
            draft.set("Content-Type", habits.content_type)
        if habits.notify_from and root == "Notify":
            draft.set_user("From", habits.notify_from)
        large = is_large(draft.body)
        draft.body = bend_body(draft.body, habits, clock_offset=self.clock_offset)
        if large and not self._is_spoilt:
            return Bent(self._spoilt(draft), [])
        sent = [Piece(draft.to_bytes(), own_connection=habits.connection_per_message)]
        if habits.late_duplicate and cmd_type == "Catalog" and b"<Item>" in draft.body:
            sent.append(self._late(draft))
        return Bent(sent, [])

    def _spoilt(self, draft: Draft) -> list[Piece]:
        """The first large answer; its retransmissions are spoilt in the same way."""
        found = _BRANCH.search(draft.get("Via"))
        branch = found[1] if found else ""
        if self._faulty and branch not in self._faulty:
            self._is_spoilt = True
            return [Piece(draft.to_bytes())]
        data = draft.to_bytes()
        middle = len(data) - len(draft.body) // 2
        if self._habits.cuts_catalog:
            parts = [data[:middle], data[middle:]]
        else:
            parts = [data[:middle] + b"\xff\xfe" + data[middle + 2 :]]
        self._faulty[branch] = parts
        return [Piece(part) for part in parts]

    def _late(self, draft: Draft) -> Piece:
        """One item once more, under the SN of a query before."""
        self._surplus += 1
        late = draft.again(self._surplus)
        late.body = re.sub(
            rb"(SN(?:>|=\"))(\d+)", lambda m: m[1] + str(max(1, int(m[2]) - 1)).encode(), late.body,
            count=1,
        )  # fmt: skip
        return Piece(late.to_bytes(), delay=_LATE)

    def _response(self, draft: Draft) -> Bent:
        habits = self._habits
        if draft.method == "BYE" and habits.bye_status != 200 and draft.status == 200:
            draft.start = f"SIP/2.0 {habits.bye_status} Call/Transaction Does Not Exist"
        if draft.method != "INVITE":
            return Bent([Piece(draft.to_bytes())], [])
        if draft.status < 200:
            return Bent([] if habits.omits_trying else [Piece(draft.to_bytes())], [])
        if draft.status >= 300:
            return Bent([Piece(draft.to_bytes())], [])
        heard = [draft.acknowledgement()] if habits.media_before_ack else []
        delay = habits.answer_delay or (_MEDIA_EARLY if heard else 0.0)
        if habits.answer_contact is not None:
            draft.set("Contact", habits.answer_contact or None)
        draft.body = bend_answer(draft.body, habits)
        return Bent([Piece(draft.to_bytes(), delay=delay)], heard)

    # What it hears ------------------------------------------------------------------------------

    def incoming(self, data: bytes) -> Bent:
        """Decide what the device hears of a message, and what is answered in its place."""
        habits = self._habits
        if habits.largest_request and len(data) > habits.largest_request:
            return Bent([], [])
        draft = Draft.parse(data) if self._bends else None
        if draft is None:
            return Bent([], [data])
        if not draft.is_request:
            return self._heard_response(draft, data)
        match draft.method:
            case "INVITE" if draft.is_initial:
                return self._invited(draft, data)
            case "ACK" if draft.get("Call-ID") in self._refused:
                return Bent([], [])
            case "SUBSCRIBE" if habits.refuses_subscribe:
                reply = draft.reply(f"{habits.refuses_subscribe} Not Supported")
                return Bent([Piece(reply)], [])
            case "INFO" if habits.ignores_speed and b"cale:" in draft.body:
                return Bent([Piece(draft.reply("200 OK"))], [])
            case "MESSAGE" if self._is_ignored(draft):
                return Bent([Piece(draft.reply("200 OK"))], [])
        return Bent([], [data])

    def _heard_response(self, draft: Draft, data: bytes) -> Bent:
        if draft.method == "REGISTER" and draft.status == 200:
            self._registered = True
        if self._habits.registers_once and draft.method == "MESSAGE" and draft.status >= 300:
            draft.start = "SIP/2.0 200 OK"  # it takes any answer to a heartbeat for a good one
            return Bent([], [draft.to_bytes()])
        return Bent([], [data])

    def _invited(self, draft: Draft, data: bytes) -> Bent:
        call = draft.get("Call-ID")
        if call in self._refused:
            return Bent([], [])
        if not self._refusals:
            return Bent([], [data])
        self._refused.add(call)
        return Bent([Piece(draft.reply(self._refusals.popleft()))], [])

    def _is_ignored(self, draft: Draft) -> bool:
        habits, cmd_type, body = self._habits, draft.cmd_type, draft.body
        if b"SetGuard" in body:
            self._is_armed = True
        if cmd_type in habits.silent_commands or any(
            f"<{name}".encode() in body for name in habits.silent_commands
        ):
            return True
        if habits.record_needs_type and cmd_type == "RecordInfo" and b"<Type>" not in body:
            return True
        if habits.config_needs_device and cmd_type == "DeviceConfig":
            target = re.search(rb"<DeviceID>([^<]*)<", body)
            own = re.search(r"sip:(\d+)@", draft.get("To"))
            return target is None or own is None or target[1].decode() != own[1]
        return False

    # What it says unasked -----------------------------------------------------------------------

    def noise(self) -> bytes:
        """A datagram that is no SIP."""
        self._surplus += 1
        return _NOISE[self._surplus % len(_NOISE)]

    def surplus_register(self) -> bytes | None:
        """One more REGISTER; None before the first."""
        if self._register is None:
            return None
        self._surplus += 1
        return self._register.again(self._surplus).to_bytes()

    def probe(self) -> bytes | None:
        """An OPTIONS; None before the first REGISTER."""
        if self._register is None:
            return None
        self._surplus += 1
        draft = self._register.again(self._surplus)
        draft.start = draft.start.replace("REGISTER", "OPTIONS", 1)
        draft.set("CSeq", "1 OPTIONS")
        draft.set("Expires", None)
        return draft.to_bytes()
