from __future__ import annotations

from gb28181.deviations import Watch
from sip.flow import Flow
from sip.message import Headers, Request

FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.66", 5060))


def test_strangers_leave_nothing_behind_whatever_they_call_themselves() -> None:
    watch = Watch({}, lambda flow: (), lambda: 0.0)
    for number in range(100):
        request = Request("REGISTER", "sip:h", Headers([("From", f"<sip:{number}@h>")]))
        watch.register(str(number), request, FLOW)
    assert not watch._registers
