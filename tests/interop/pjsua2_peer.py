"""A pjsua2 user agent in a process of its own, so that a crash in it stays there.

Registers, sends a MESSAGE, unregisters; writes one JSON object for each thing that happened.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import pjsua2 as pj

KEEPALIVE = """<?xml version="1.0" encoding="UTF-8"?>
<Notify>
<CmdType>Keepalive</CmdType>
<SN>7</SN>
<DeviceID>{device}</DeviceID>
<Status>OK</Status>
<Info><DeviceID>学校东门</DeviceID></Info>
</Notify>
"""


def say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Account(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """Reports registration and message results."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: int | None = None
        self.answered: int | None = None
        self.commands: list[str] = []

    def onRegState(self, prm: Any) -> None:  # noqa: N802  named by pjsua2
        self.registered = int(prm.code)
        say(event="register", status=self.registered, expires=int(prm.expiration))

    def onInstantMessageStatus(self, prm: Any) -> None:  # noqa: N802
        self.answered = int(prm.code)
        say(event="message", status=self.answered)

    def onInstantMessage(self, prm: Any) -> None:  # noqa: N802
        say(event="received", type=prm.contentType, body=prm.msgBody)
        self.commands.append(prm.msgBody)


def poll(endpoint: Any, seconds: float, condition: Any) -> None:
    """Run the library's events in this thread: it has none of its own."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        endpoint.libHandleEvents(20)


def open_endpoint() -> Any:
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.logConfig.level = 0
    config.logConfig.consoleLevel = 0
    endpoint.libInit(config)
    return endpoint


def open_account(options: argparse.Namespace, endpoint: Any) -> Account:
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    tcp = options.transport == "tcp"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_TCP if tcp else pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    config = pj.AccountConfig()
    config.idUri = f"sip:{options.device}@3402000000"
    suffix = ";transport=tcp" if tcp else ""
    config.regConfig.registrarUri = f"sip:{options.server}@127.0.0.1:{options.port}{suffix}"
    config.regConfig.retryIntervalSec = 0
    config.sipConfig.authCreds.append(
        pj.AuthCredInfo("digest", "*", options.device, 0, options.password)
    )
    account = Account()
    account.create(config)
    return account


def send_keepalive(options: argparse.Namespace, account: Account) -> Any:
    buddy_config = pj.BuddyConfig()
    suffix = ";transport=tcp" if options.transport == "tcp" else ""
    buddy_config.uri = f"sip:{options.server}@127.0.0.1:{options.port}{suffix}"
    buddy_config.subscribe = False
    buddy = pj.Buddy()
    buddy.create(account, buddy_config)
    message = pj.SendInstantMessageParam()
    message.contentType = "Application/MANSCDP+xml"
    message.content = KEEPALIVE.format(device=options.device)
    buddy.sendInstantMessage(message)
    return buddy


def converse(options: argparse.Namespace, endpoint: Any) -> None:
    """Everything that holds an account, which must be gone before the library is destroyed."""
    account = open_account(options, endpoint)
    poll(endpoint, 6, lambda: account.registered is not None)
    if account.registered == 200:
        buddy = send_keepalive(options, account)
        poll(endpoint, 6, lambda: account.answered is not None and account.commands)
        account.registered = None
        account.setRegistration(False)
        poll(endpoint, 6, lambda: account.registered is not None)
        del buddy
    account.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("device", "server", "password", "transport"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    endpoint = open_endpoint()
    converse(options, endpoint)
    endpoint.libDestroy()
    say(event="done")


if __name__ == "__main__":
    main()
