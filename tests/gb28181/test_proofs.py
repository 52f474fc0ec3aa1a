"""Challenges by the server and by proxies before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.proofs import Proofs
from sip.auth import DigestServer, Verdict
from sip.errors import UnsupportedChallenge
from sip.headers import parse_credentials
from sip.message import Headers, Request, make_response

USER, PASSWORD, URI = "34020000001320000001", "12345678", "sip:34020000002000000001@3402000000"
WWW, PROXY = "WWW-Authenticate", "Proxy-Authenticate"


def register(*fields: tuple[str, str]) -> Request:
    own = f"<sip:{USER}@3402000000>"
    headers = [("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), ("From", own), ("To", own)]
    headers += [("Call-ID", "1"), ("CSeq", "1 REGISTER"), *fields]
    return Request("REGISTER", URI, Headers(headers))


def take(proofs: Proofs, status: int, *challenges: tuple[str, str]) -> str:
    fields = [
        (name, f'Digest realm="r", nonce="{nonce}", qop="auth"') for name, nonce in challenges
    ]
    return proofs.take(make_response(register(), status, headers=fields))


def given_fields(proofs: Proofs, uri: str = URI) -> list[tuple[str, str]]:
    return proofs.fields(
        username=USER, password=PASSWORD, method="REGISTER", uri=uri, cnonce="cnonce"
    )


def uses(proofs: Proofs) -> list[tuple[str, str | None, str | None]]:
    """Name, nonce and nc of each field."""
    read = [(name, parse_credentials(value).parameters) for name, value in given_fields(proofs)]
    return [(name, given.get("nonce"), given.get("nc")) for name, given in read]


def test_407_is_answered_as_401_is() -> None:  # RFC 3261 22.3
    proofs = Proofs()
    digest = DigestServer("3402000000", b"a secret of the test")
    challenges = [(PROXY, value) for value in digest.challenge(USER, 0.0)]
    assert proofs.take(make_response(register(), 407, headers=challenges)) == ""
    ((name, value),) = given_fields(proofs)
    assert name == "Proxy-Authorization"
    as_server = register(("Authorization", value))
    assert digest.verify(as_server, USER, PASSWORD, 1.0) is Verdict.OK


def test_both_are_answered_when_the_proxy_let_it_pass() -> None:
    proofs = Proofs()
    assert take(proofs, 407, (PROXY, "p")) == ""
    assert uses(proofs) == [("Proxy-Authorization", "p", "00000001")]
    assert take(proofs, 401, (WWW, "w")) == ""
    assert uses(proofs) == [
        ("Proxy-Authorization", "p", "00000002"),
        ("Authorization", "w", "00000001"),
    ]


def test_challenges_of_both_kinds_in_one_response_are_answered() -> None:  # RFC 3261 16.7
    proofs = Proofs()
    assert take(proofs, 401, (WWW, "w"), (PROXY, "p")) == ""
    assert [name for name, *_ in uses(proofs)] == ["Authorization", "Proxy-Authorization"]


@pytest.mark.parametrize(
    ("status", "field", "who"), [(401, WWW, "the server"), (407, PROXY, "a proxy on the way")]
)
def test_nonce_that_was_answered_means_a_wrong_password(status: int, field: str, who: str) -> None:
    proofs = Proofs()
    assert take(proofs, status, (field, "n")) == ""
    given_fields(proofs)
    assert take(proofs, status, (field, "n")) == f"{who} does not accept our password"


def test_next_request_begins_anew() -> None:
    proofs = Proofs()
    take(proofs, 407, (PROXY, "p"))
    proofs.clear()
    assert take(proofs, 401, (WWW, "w")) == ""
    assert [name for name, *_ in uses(proofs)] == ["Authorization"]


@pytest.mark.parametrize("status", [401, 407])
def test_refusal_without_a_challenge_is_final_at_any_time(status: int) -> None:
    proofs = Proofs()
    assert take(proofs, status) == f"{status} without a challenge"
    take(proofs, 407, (PROXY, "p"))
    assert take(proofs, status) == f"{status} without a challenge"


def test_unknown_algorithm_cannot_be_answered() -> None:
    proofs = Proofs()
    challenge = (PROXY, 'Digest realm="r", nonce="n", algorithm=ROT13')
    assert proofs.take(make_response(register(), 407, headers=[challenge])) == ""
    with pytest.raises(UnsupportedChallenge):
        given_fields(proofs)


@given(st.lists(st.sampled_from([(401, WWW), (407, PROXY)]), min_size=5))
def test_no_order_of_challenges_is_answered_for_ever(story: list[tuple[int, str]]) -> None:
    proofs = Proofs()
    faults = [
        take(proofs, status, (field, str(number))) for number, (status, field) in enumerate(story)
    ]
    assert any(faults[:5])
