"""Finds the charset of a body, whatever it declares."""

from __future__ import annotations

import re

_DECLARED = re.compile(rb"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']\s*([\w.:-]+)", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
# Anything but ASCII, CJK ideographs, CJK punctuation and full-width forms.
_NOT_CHINESE = re.compile(
    "[^\x00-\x7f\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U000323af]"
)
# Two GB characters can make one UTF-8 ideograph of the supplementary planes, so one of those
# alone proves nothing.
_COMMON = re.compile("[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_UTF8 = frozenset({"UTF-8", "UTF8"})
_GB = frozenset({"GB2312", "GBK", "GB18030", "GB_2312-80", "CP936"})


def is_known(name: str) -> bool:
    """Tell whether a charset can be read and written."""
    return name.upper() in _UTF8 or name.upper() in _GB


def codec_of(name: str) -> str:
    """Return Python's codec for a known charset: all of the GB family are read as GB 18030."""
    return "utf-8" if name.upper() in _UTF8 else "gb18030"


def decode_text(body: bytes, hint: str | None, repairs: list[str]) -> tuple[str, str]:
    """Decode a body.

    UTF-8 is taken when a BOM says so, when it is declared (or the hint) and valid, and when the
    bytes are valid UTF-8 of nothing but ASCII and Chinese. All else is GB 18030: trying UTF-8
    first without that last condition would corrupt 3 % of two-character GB names.

    Args:
        body: As it came from the network.
        hint: The charset that is known of the peer.
        repairs: Takes a sentence when the body is not in the charset that it declares, or
            in none at all.

    Returns:
        The text, and the charset to remember: of pure ASCII the declared one, or the hint.
    """
    declared = _declared(body)
    if body.startswith(_BOM):
        body = body[len(_BOM) :]
        if declared not in _UTF8 and _is_utf8(body):
            return body.decode("utf-8"), "UTF-8"
        declared = "UTF-8"
    if body.isascii():
        return body.decode("ascii"), _remembered(declared, hint)
    wants_utf8 = declared in _UTF8 or (declared is None and hint is not None and _says_utf8(hint))
    text, charset = _decode(body, wants_utf8=wants_utf8, repairs=repairs)
    if declared is not None and (declared in _UTF8) != (charset == "UTF-8"):
        repairs.append(f"declared as {declared}, read as {charset}")
    return text, charset


def _decode(body: bytes, *, wants_utf8: bool, repairs: list[str]) -> tuple[str, str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if wants_utf8 or _is_chinese(text):
            return text, "UTF-8"
    try:
        return body.decode("gb18030"), "GB18030"
    except UnicodeDecodeError:
        return _decode_broken(body, wants_utf8=wants_utf8, repairs=repairs)


def _decode_broken(body: bytes, *, wants_utf8: bool, repairs: list[str]) -> tuple[str, str]:
    """Decode what is valid in no charset: as UTF-8 only when two thirds of it are that."""
    text, charset = body.decode("utf-8", "replace"), "UTF-8"
    lost = text.count("\ufffd")
    is_likely = wants_utf8 or _is_chinese(text.replace("\ufffd", ""))
    if not is_likely or lost * 3 > len(_NOT_ASCII.findall(text)):
        text, charset = body.decode("gb18030", "replace"), "GB18030"
        lost = text.count("\ufffd")
    repairs.append(f"undecodable bytes became U+FFFD (x{lost})")
    return text, charset


def _is_chinese(text: str) -> bool:
    return _NOT_CHINESE.search(text) is None and _COMMON.search(text) is not None


def _declared(body: bytes) -> str | None:
    match = _DECLARED.match(body[:200].removeprefix(_BOM))
    return match[1].decode("ascii", "replace").upper() if match else None


def _says_utf8(name: str) -> bool:
    return name.upper() in _UTF8


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _remembered(declared: str | None, hint: str | None) -> str:
    name = declared if declared is not None and is_known(declared) else hint
    if name is None or not is_known(name):
        return "GB18030"
    return "UTF-8" if _says_utf8(name) else "GB18030"
