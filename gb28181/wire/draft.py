"""Draft: one SIP message as lines, to be bent before it goes out."""

from __future__ import annotations

import re

_END = b"\r\n\r\n"
_USER = re.compile(r"sip:([^@>;]*)@")
_CMD = re.compile(rb"<CmdType>\s*(\w+)\s*</CmdType>|CmdType=\"(\w+)\"")
_ROOT = re.compile(rb"<(Control|Query|Notify|Response)\b")


class Draft:
    """A message on its way. Only what is asked for is looked at."""

    def __init__(self, start: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.start = start
        self.headers = headers
        self.body = body

    @classmethod
    def parse(cls, data: bytes) -> Draft | None:
        """Read a whole message; None for anything else."""
        head, end, body = data.partition(_END)
        if not end or not data[:1].isalpha():
            return None
        start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        if "SIP/2.0" not in start:
            return None
        headers = [(name.strip(), value.strip()) for name, _, value in
                   (line.partition(":") for line in lines)]  # fmt: skip
        return cls(start, headers, body)

    @property
    def is_request(self) -> bool:
        """Whether it is a request."""
        return not self.start.startswith("SIP/2.0")

    @property
    def method(self) -> str:
        """The method, of a response that of its CSeq."""
        if self.is_request:
            return self.start.partition(" ")[0]
        return self.get("CSeq").partition(" ")[2].strip()

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return 0 if self.is_request else int(self.start.split(" ")[1])

    @property
    def is_initial(self) -> bool:
        """Whether it is a request outside any dialog."""
        return self.is_request and ";tag=" not in self.get("To")

    @property
    def cmd_type(self) -> str:
        """The CmdType of the body; empty without one."""
        found = _CMD.search(self.body[:600])
        return (found[1] or found[2] or b"").decode() if found else ""

    @property
    def root(self) -> str:
        """The root element of the body; empty without one."""
        found = _ROOT.search(self.body[:300])
        return found[1].decode() if found else ""

    def get(self, name: str) -> str:
        """The first header field of that name; empty when there is none."""
        lower = name.lower()
        return next((value for key, value in self.headers if key.lower() == lower), "")

    def set(self, name: str, value: str | None) -> None:
        """Put another value in its place, add it at the end, or take it away with None."""
        lower = name.lower()
        for place, (key, _) in enumerate(self.headers):
            if key.lower() == lower:
                self.headers[place : place + 1] = [] if value is None else [(key, value)]
                return
        if value is not None:
            self.headers.append((name, value))

    def set_user(self, name: str, user: str) -> None:
        """Change the user of the URI in a header field."""
        self.set(name, _USER.sub(f"sip:{user}@", self.get(name), count=1))

    def again(self, number: int) -> Draft:
        """A copy that is a request of its own: another branch and Call-ID."""
        copy = Draft(self.start, list(self.headers), self.body)
        copy.set("Via", re.sub(r"branch=[^;]*", rf"\g<0>x{number}", copy.get("Via")))
        copy.set("Call-ID", f"{copy.get('Call-ID')}x{number}")
        return copy

    def reply(self, status: str, *, tag: str = "habit") -> bytes:
        """A response to this request, with what a response must repeat.

        Args:
            status: Code and reason, then header fields, each after a ``;``.
            tag: Of To, where it has none.
        """
        line, *rest = status.split(";")
        to = self.get("To")
        headers = [(name, value) for name, value in self.headers if name.lower() == "via"]
        headers += [(name, self.get(name)) for name in ("From", "Call-ID", "CSeq")]
        headers.append(("To", to if ";tag=" in to else f"{to};tag={tag}"))
        if rest:
            headers.append(("Warning", f'399 device "{rest[0]}"'))
        return Draft(f"SIP/2.0 {line}", headers, b"").to_bytes()

    def acknowledgement(self) -> bytes:
        """The ACK that a caller would send to this 200."""
        number = self.get("CSeq").partition(" ")[0]
        headers = [("Via", f"SIP/2.0/UDP 0.0.0.0;branch=z9hG4bKhabit{number}")]
        headers += [(name, self.get(name)) for name in ("From", "To", "Call-ID")]
        headers += [("CSeq", f"{number} ACK"), ("Max-Forwards", "70")]
        user = _USER.search(self.get("To"))
        uri = f"sip:{user[1] if user else 'device'}@0.0.0.0"
        return Draft(f"ACK {uri} SIP/2.0", headers, b"").to_bytes()

    def to_bytes(self) -> bytes:
        """Write it, with the length that its body has."""
        lines = [self.start]
        lines += [f"{n}: {v}" for n, v in self.headers if n.lower() not in ("content-length", "l")]
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + _END + self.body
