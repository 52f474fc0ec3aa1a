"""Finds the charset of a body, whatever it declares."""

from __future__ import annotations

import re
from functools import lru_cache

_DECLARED = re.compile(rb"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"<\0": "utf-16-le"}
# Anything but ASCII, CJK ideographs, CJK punctuation and full-width forms.
_NOT_CHINESE = re.compile(
    "[^\x00-\x7f\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U000323af]"
)
# Two GB characters can make one UTF-8 ideograph of the supplementary planes, so one of those
# alone proves nothing.
_COMMON = re.compile("[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]")
_WORD = re.compile("[A-Za-z]?[^\x00-\x7f]+[@-~]?")
_BARE_LATIN = re.compile("[\u00c0-\u017f]{2,}")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
_FIRST_LEVEL = range(0xB0, 0xD8)  # first bytes of the 3,755 most frequent ideographs of GB 2312
# Whole words of what people write: Latin with signs, Greek, Cyrillic, Arabic with Uyghur.
_ONE_SCRIPT = re.compile(
    "(?:[\u00a1-\u017f\u2010-\u2027\u2030-\u203a\u20ac\u2103\u2160-\u217f\u2190-\u21ff]"
    "|[\u00c0-\u017f]+"
    "|[\u0391-\u03c9]+"
    "|[\u0401\u0410-\u044f\u0451]+"
    "|[\u060c\u061b\u061f\u0621-\u064a\u067e\u0686\u0698\u06a9\u06ad\u06af\u06be\u06c6-\u06c8"
    "\u06cb\u06d0\u06d5]+)[@-~]?"
)
# What stands beside ideographs in a word.
_SIGNS = re.compile("[\u00a1-\u00bf\u00d7\u00f7\u2010-\u22ff\u2460-\u25ff\u3100-\u33ff]*[@-~]?")
_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]{2,}")
_SIGN = re.compile("[^A-Z0-9]")
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

    UTF-8 is taken when a BOM says so, when it is declared (or the hint) and believable, and when
    the bytes are valid UTF-8 of nothing but ASCII and Chinese. All else is GB 18030: trying UTF-8
    first without that last condition would corrupt 3 % of two-character GB names. A declared
    UTF-8 is not believed when it gives words of mixed foreign letters where GB gives ideographs.

    Args:
        body: As it came from the network.
        hint: The charset that is known of the peer.
        repairs: Takes a sentence when the body is not in the charset that it declares, or
            in none at all.

    Returns:
        The text, and the charset to remember: of pure ASCII the declared one, or the hint.
    """
    wide = _UTF16.get(body[:2])
    if wide is not None:
        repairs.append("the body is in UTF-16")
        return _decode_wide(body, wide), _remembered(None, hint)
    declared = _declared(body)
    if body.startswith(_BOM):
        body = body[len(_BOM) :]
        if _is_utf8(body):
            return body.decode("utf-8"), "UTF-8"
        declared = "UTF-8"
    if body.isascii():
        return body.decode("ascii"), _remembered(declared, hint)
    says = hint if declared is None else declared
    wants_utf8 = says is not None and _family(says) == "UTF-8"
    text, charset = _decode(body, wants_utf8=wants_utf8, repairs=repairs)
    if declared is not None and _family(declared) != charset:
        repairs.append(f"declared as {declared}, read as {charset}")
    return text, charset


def _decode(body: bytes, *, wants_utf8: bool, repairs: list[str]) -> tuple[str, str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if (_is_chinese(text) or wants_utf8) and not _is_disguised(
            body, text, wants_utf8=wants_utf8
        ):
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
    if not is_likely or lost * 3 > len("".join(_NOT_ASCII.findall(text))):
        text, charset = body.decode("gb18030", "replace"), "GB18030"
        lost = text.count("\ufffd")
    repairs.append(f"undecodable bytes became U+FFFD (x{lost})")
    return text, charset


def _is_chinese(text: str) -> bool:
    return _NOT_CHINESE.search(text) is None and _COMMON.search(text) is not None


def _is_disguised(body: bytes, text: str, *, wants_utf8: bool) -> bool:
    """Tell GB ideographs that happen to be valid UTF-8 from real words in UTF-8.

    Pairs of GB bytes make letters of Latin, Greek, Cyrillic, Armenian, Hebrew and Arabic without
    order; a word keeps to one script, and an accent stands among plain letters. Two GB characters
    with an ASCII letter as their last byte make one ideograph and that letter.
    """
    words = _WORD.findall(text)
    if sum(_is_plausible(word, wants_utf8=wants_utf8) for word in words) * 2 > len(words):
        return False
    try:
        other = body.decode("gb18030")
    except UnicodeDecodeError:
        return False
    return all(_IDEOGRAPHS.fullmatch(word) for word in _NOT_ASCII.findall(other))


def _is_plausible(word: str, *, wants_utf8: bool) -> bool:
    """Tell whether somebody may have written it, with the ASCII letter behind it."""
    if _COMMON.search(word) is None:
        # Letters with signs stand among plain ones: two of them alone are GB bytes.
        letters = word[word[0].isascii() :]
        is_word = _ONE_SCRIPT.fullmatch(letters) is not None
        return is_word and _BARE_LATIN.fullmatch(word) is None
    word = word[word[0].isascii() :]
    if len(word) == 2 and word[1].isascii():
        is_frequent = word[0].encode("gb18030")[0] in _FIRST_LEVEL
        return wants_utf8 and is_frequent and "A" <= word[1] <= "H"
    return _SIGNS.fullmatch(_COMMON.sub("", word)) is not None


def _declared(body: bytes) -> str | None:
    match = _DECLARED.match(body[:200].removeprefix(_BOM))
    return match[1].decode("ascii", "replace").upper() if match else None


@lru_cache(64)
def _family(name: str) -> str | None:
    """What a declared name means, however it is spelled; ``None``: nothing that is believed."""
    plain = _SIGN.sub("", name.upper())
    if plain.startswith("UTF8"):
        return "UTF-8"
    return "GB18030" if plain.startswith("GB") or plain.endswith(("936", "GBK")) else None


def _decode_wide(body: bytes, codec: str) -> str:
    # The last byte may have been taken for padding.
    text = (body + b"\0" * (len(body) % 2)).decode(codec, "replace")
    return text.removeprefix("\ufeff").rstrip("\0")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _remembered(declared: str | None, hint: str | None) -> str:
    family = None if declared is None else _family(declared)
    if family is None and hint is not None:
        family = _family(hint)
    return family or "GB18030"
