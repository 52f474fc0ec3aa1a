"""Deviations: what devices were seen doing otherwise than the standard, by name."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from rtp import nal
from rtp.access_unit import MediaKind
from sip.errors import SipError

from .media.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rtp.access_unit import AccessUnit
    from rtp.batch import PacketBatch
    from sip.flow import Flow
    from sip.message import Request, Response

    from .manscdp.catalog import CatalogItem
    from .media.receiver import ReceiverStatistics
    from .media.session import MediaSession
    from .media.stages import Timeline
    from .remote_device import RemoteDevice

FLOOD = 6
"""REGISTERs of one device in a window from which on they are a flood."""
WINDOW = 60.0
"""Seconds over which they are counted."""
_LATE_SHARE, _LATE = 0.05, 1.0
_MANY = 5
# Anything but yyyy-MM-ddTHH:mm:ss after the tag of a time (A.1).
_ODD_TIME = re.compile(rb">\d{4}-(?!\d\d-\d\dT\d\d:\d\d:\d\d<)\d{1,2}-\d{1,2}[T ]")
_ODD_BEAT = re.compile(rb"<HeartBeat(?:Interval|Count)>(?!\s*[1-9])")
_SOON, _SLOW = 0.2, 10.0
_JUMP = 1000
_PS = 96


def of_register(request: Request, flow: Flow) -> list[str]:
    """What a REGISTER shows."""
    names = _of_request(request)
    try:
        contact = request.contact
    except SipError:
        contact = None
    if contact is not None and contact.uri.host != flow.remote[0]:
        names.append("Contact names another address than it comes from")
    if "Route" in request.headers:
        names.append("REGISTER with a Route")
    return names


def of_message(request: Request, sender_id: str) -> list[str]:
    """What a MESSAGE or NOTIFY of a known device shows, but for its body."""
    names = _of_request(request)
    body = request.body
    if body and not body.startswith(b"<?xml"):
        names.append("a body without an XML declaration at its start")
    if body and b"\r\n" not in body:
        names.append("lines that end with LF alone")
    if body and _ODD_TIME.search(body):
        names.append("times written otherwise")
    if b"<HeartBeat" in body and _ODD_BEAT.search(body):
        names.append("heartbeat parameters that make no sense")
    if sender_id not in (request.headers.get("From") or ""):
        names.append("From is not the device")
    written = (request.headers.get("Content-Type") or "").partition(";")[0].strip()
    if written and written not in ("Application/MANSCDP+xml", "application/MANSCDP+xml"):
        names.append("Content-Type written otherwise")
    if request.method == "MESSAGE" and "Event" in request.headers:
        names.append("a notification as MESSAGE")
    return names


def of_items(items: Sequence[CatalogItem]) -> list[str]:
    """What a catalogue shows."""
    names = []
    if any("/" in (one.parent_id or "") for one in items):
        names.append("ParentID of several parts")
    civil = (one.civil_code or "" for one in items)
    if any(code and not (code.isascii() and code.isdigit()) for code in civil):
        names.append("CivilCode that is no code")
    return names


def _of_request(request: Request) -> list[str]:
    names = []
    if request.method in ("REGISTER", "MESSAGE"):
        if request.to_tag:
            names.append("To tag in an initial request")
        # The text, not the address: this is asked of every heartbeat.
        if "rport" not in (request.headers.get("Via") or ""):
            names.append("Via without rport")
    return names


class Watch:
    """Keeps the records of a platform's devices; sees what only several messages show."""

    def __init__(
        self,
        devices: Mapping[str, RemoteDevice],
        devices_at: Callable[[Flow], Sequence[str]],
        now: Callable[[], float],
    ) -> None:
        """Take where the records are.

        Args:
            devices: Those that have a record, by id; strangers have none.
            devices_at: Who was last heard by a flow.
            now: The time.
        """
        self._devices = devices
        self._devices_at = devices_at
        self._now = now
        self._registers: Counter[str] = Counter()
        self._since = 0.0
        self._beats: dict[str, float] = {}

    def saw(self, device_id: str, names: Iterable[str]) -> None:
        """Note what a device did otherwise than the standard."""
        device = self._devices.get(device_id)
        if device is not None:
            for name in names:
                device.quirks_seen.note(name, self._now())

    def register(self, device_id: str, request: Request, flow: Flow) -> None:
        """Take a REGISTER, whatever came of it."""
        now = self._now()
        if now - self._since >= WINDOW:
            self._registers.clear()
            self._since = now
        if device_id not in self._devices:
            return  # whoever likes may call himself anything
        self._registers[device_id] += 1
        self.saw(device_id, of_register(request, flow))
        if self._registers[device_id] > FLOOD:
            self.saw(device_id, ["REGISTER floods"])

    def message(self, device_id: str, request: Request, *, is_trusted: bool) -> None:
        """Take a MESSAGE or NOTIFY, but for its body."""
        self.saw(device_id, of_message(request, device_id))
        if not is_trusted:
            self.saw(device_id, ["talks without a registration"])

    def heartbeat(self, device_id: str, interval: float) -> None:
        """Take a heartbeat; one that comes later than it should is noted."""
        now = self._now()
        before = self._beats.get(device_id)
        self._beats[device_id] = now
        late = 0.0 if before is None else now - before - interval
        # A gap of several intervals is a loss, not a habit.
        if _LATE + interval * _LATE_SHARE < late < interval / 2:
            self.saw(device_id, ["heartbeats come late"])

    def move(self, device_id: str, old: Flow, new: Flow) -> None:
        """Take the news that a device goes on from elsewhere."""
        what = "port" if old.remote[0] == new.remote[0] else "address"
        self.saw(device_id, [f"goes on from another {'connection' if new.reliable else what}"])

    def silence(self, device_id: str) -> None:
        """Take the end of a device that was not heard any more."""
        if self._beats.pop(device_id, None) is None:
            self.saw(device_id, ["no heartbeat at all"])

    def malformed(self, flow: Flow) -> None:
        """Take the news that a flow brought what is no SIP message."""
        there = self._devices_at(flow)
        if len(there) == 1:
            self.saw(there[0], ["bytes on the SIP port that are no SIP"])


def of_session(session: MediaSession) -> list[str]:
    """What a session has shown in all: its answer, and what its receiver counted."""
    if session.call is None:
        status = session.last_status.partition(" ")[0]
        return [f"INVITE refused with {status}"] if status >= "300" else []
    names = [*_of_timeline(session.timeline), *_of_answer(session, session.call.response)]
    return names + _of_statistics(session.receiver.statistics)


def of_stream(session: MediaSession, heads: list[PacketBatch]) -> list[str]:
    """What the packets and pictures of the current group show, while a session runs."""
    return [*_of_packets(heads), *_of_units(session.receiver.units.group())]


def _of_timeline(timeline: Timeline) -> list[str]:
    """How the INVITE was answered."""
    asked, answered = timeline.when(Stage.ASKED), timeline.when(Stage.ANSWERED)
    if asked is None or answered is None or answered - asked < _SOON:
        return []
    names = [] if answered - asked < _SLOW else ["slow to answer an INVITE"]
    if timeline.when(Stage.TRYING) is None and timeline.when(Stage.RINGING) is None:
        names.append("no provisional answer to INVITE")
    return names


def _of_answer(session: MediaSession, response: Response) -> list[str]:
    """What the answer to our offer shows."""
    text = response.body.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines()]
    names = _of_y([line[2:].strip() for line in lines if line.startswith("y=")], session)
    if any(line.startswith("a=filesize:-") for line in lines):
        names.append("a file size below nothing")
    media = next((line for line in lines if line.startswith("m=")), "")
    words = media.split()
    if len(words) > 4:
        names.append("several payload types in the answer")
    is_tcp = any("TCP" in word for word in words[2:3])
    if words and is_tcp != (session.plan.mode != "udp"):
        names.append("the answer names another transport")
    if "Contact" not in response.headers:
        names.append("a 200 to INVITE without Contact")
    elif not _is_at(response.headers.get("Contact") or "", session):
        names.append("Contact of the 200 names another address")
    if not _is_at(_address(lines), session):
        names.append("c= names another address")
    return names


def _of_y(values: list[str], session: MediaSession) -> list[str]:
    if not values:
        return ["no y= in the answer"]
    value = values[0]
    if len(value) != 10 or not value.isdigit():
        return ["y= is not ten digits"]
    if int(value) == 0:
        return ["y= is zero"]
    return [] if int(value) == session.plan.ssrc else ["y= is another than offered"]


def _address(lines: list[str]) -> str:
    return next((line for line in lines if line.startswith("c=")), "")


def _is_at(text: str, session: MediaSession) -> bool:
    target = session.plan.target
    return not text or isinstance(target, str) or target.remote[0] in text


def _of_statistics(seen: ReceiverStatistics) -> list[str]:
    names = [f"media mended: {name}" for name in seen.repairs]
    checks: tuple[tuple[bool, str], ...] = (
        (seen.adopted_ssrc > 0, "RTP with another SSRC than agreed"),
        (seen.restarts > 0, "the stream began anew"),
        (seen.resyncs > 0, "the framing over TCP was lost"),
        (seen.foreign_source > 0, "RTP from another address"),
    )
    return names + [name for is_so, name in checks if is_so]


def _of_packets(batches: list[PacketBatch]) -> list[str]:
    """What the packets of the current group of pictures show."""
    seconds: list[int] = []
    numbers: list[int] = []
    ticks: set[int] = set()
    for batch in batches:
        seconds += batch.heads.seconds
        numbers += batch.heads.numbers
        ticks.update(batch.heads.ticks)
    if len(seconds) < _MANY:
        return []
    kinds = {second & 0x7F for second in seconds}
    markers = sum(second >= 0x80 for second in seconds)
    names = []
    if kinds - {_PS} and kinds != {_PS, 8}:
        names.append("RTP with another payload type than PS")
    if 8 in kinds and _PS in kinds:
        names.append("audio in packets of its own beside PS")
    if markers == 0:
        names.append("no RTP marker")
    if markers == len(seconds) and len(ticks) < len(seconds):
        names.append("an RTP marker in every packet")
    steps = pairwise(numbers)
    if any(_JUMP < (after - before) & 0xFFFF < 0x10000 - _JUMP for before, after in steps):
        names.append("RTP sequence numbers jump")
    if len(ticks) == 1 and len(batches) > 1:
        names.append("RTP timestamps that do not move")
    return names


def _of_units(units: list[AccessUnit]) -> list[str]:
    video = [one for one in units if one.kind is MediaKind.VIDEO]
    names = []
    if any(one.is_key and not nal.has_parameter_sets(one.codec, one.data) for one in video):
        names.append("a key frame without parameter sets")
    if any(not one.is_key and nal.has_parameter_sets(one.codec, one.data) for one in video):
        names.append("parameter sets before every frame")
    return names
