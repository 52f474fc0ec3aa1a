"""StaleDialogs: calls of ours whose BYE nobody answered, and which may still stand on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sip.errors import LocalProtocolError, SipError
from sip.message import Headers, Request

if TYPE_CHECKING:
    from sip.endpoint import OutgoingCall, SipEndpoint
    from sip.flow import Flow

_CHANNELS = 1000
_PER_CHANNEL = 4
_TIMEOUT = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleDialog:
    """All that is needed to end a call that our stack has forgotten."""

    call_id: str
    local_party: str
    remote_party: str
    remote_target: str
    sequence: int

    def bye(self) -> Request:
        """The BYE of that dialog, once more. Source: RFC 3261 section 15.1.1."""
        headers = Headers(
            [
                ("From", self.local_party),
                ("To", self.remote_party),
                ("Call-ID", self.call_id),
                ("CSeq", f"{self.sequence} BYE"),
                ("Reason", 'SIP;cause=200;text="left over"'),
            ]
        )
        return Request("BYE", self.remote_target, headers)


class StaleDialogs:
    """Keeps the last few unanswered goodbyes of each channel, to say them again when it is busy.

    A device that has not heard our BYE keeps its session, and answers the next INVITE 486. What an
    earlier run of our process left standing is not known here: such a session ends by the device's
    own watch over its peer, or by an INVITE with the same Subject (2022 K c).
    """

    def __init__(self) -> None:
        self._dialogs: dict[str, list[StaleDialog]] = {}

    def __len__(self) -> int:
        return sum(len(dialogs) for dialogs in self._dialogs.values())

    def note(self, channel_id: str, call: OutgoingCall) -> None:
        """Keep a call whose BYE was not answered."""
        try:
            dialog = call.dialog
        except LocalProtocolError:
            return
        kept = self._dialogs.setdefault(channel_id, [])
        kept.append(
            StaleDialog(
                call_id=dialog.call_id,
                local_party=dialog.local_party,
                remote_party=dialog.remote_party,
                remote_target=dialog.remote_target,
                sequence=dialog.local_sequence + 1,
            )
        )
        del kept[:-_PER_CHANNEL]
        while len(self._dialogs) > _CHANNELS:
            del self._dialogs[next(iter(self._dialogs))]

    async def clear(self, channel_id: str, endpoint: SipEndpoint, target: Flow | str) -> int:
        """Say goodbye again; return how many calls the device has ended now.

        Every final answer settles a dialog: 200 ends it, 481 says that it was not there any more.
        """
        ended = 0
        for stale in self._dialogs.pop(channel_id, ()):
            try:
                response = await endpoint.request(stale.bye(), target, timeout=_TIMEOUT)
            except SipError:
                continue
            ended += response.status < 300
        return ended
