"""Digest authentication, written down a second time: the kit must not share the stack's mistakes.

Source: RFC 2617 section 3.2.2.
"""

from __future__ import annotations

import hashlib
import re

_PAIR = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


def read_parameters(value: str) -> dict[str, str]:
    """Return the parameters of an Authorization or WWW-Authenticate value, names in lower case."""
    return {name.lower(): quoted or bare for name, quoted, bare in _PAIR.findall(value)}


def response_of(parameters: dict[str, str], *, username: str, password: str, method: str) -> str:
    """Compute the response for MD5, without qop or with ``qop=auth``."""
    first = _md5(f"{username}:{parameters.get('realm', '')}:{password}")
    second = _md5(f"{method}:{parameters.get('uri', '')}")
    nonce = parameters.get("nonce", "")
    if "qop" not in parameters:
        return _md5(f"{first}:{nonce}:{second}")
    middle = ":".join(parameters.get(name, "") for name in ("nc", "cnonce", "qop"))
    return _md5(f"{first}:{nonce}:{middle}:{second}")


def authorization(
    challenge: str, *, username: str, password: str, method: str, uri: str, nonce: str | None = None
) -> str:
    """Answer a challenge; with ``nonce`` another nonce than its own is used."""
    asked = read_parameters(challenge)
    given = {
        "username": username,
        "realm": asked.get("realm", ""),
        "nonce": asked.get("nonce", "") if nonce is None else nonce,
        "uri": uri,
    }
    if "auth" in asked.get("qop", "").split(","):
        given |= {"qop": "auth", "nc": "00000001", "cnonce": "0a4f113b"}
    given["response"] = response_of(given, username=username, password=password, method=method)
    if "opaque" in asked:
        given["opaque"] = asked["opaque"]
    pairs = [
        f"{name}={value}" if name in ("qop", "nc") else f'{name}="{value}"'
        for name, value in given.items()
    ]
    return f"Digest {', '.join(pairs)}, algorithm=MD5"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
