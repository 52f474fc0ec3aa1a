from __future__ import annotations

import pytest

from sip.auth import DigestServer, Ha1, Verdict, answer, compute_ha1
from sip.errors import LocalProtocolError, UnsupportedChallenge
from sip.headers import parse_challenge, parse_credentials
from sip.message import Headers, Request
from sip.parser import parse_datagram

USER = "34020000001320000001"
REALM = "3402000000"
PASSWORD = "12345678"
URI = "sip:34020000002000000001@3402000000"
NONCE = "44010b73623249f6916a6acf7c316b8e"


def server(**settings: object) -> DigestServer:
    return DigestServer(REALM, b"0123456789abcdef", **settings)  # type: ignore[arg-type]  # test


def reply(
    challenges: list[str], *, password: str | Ha1 = PASSWORD, count: int = 1, **changes: str
) -> str:
    return answer(
        challenges,
        username=changes.get("username", USER),
        password=password,
        method=changes.get("method", "REGISTER"),
        uri=URI,
        cnonce="0a4f113b",
        nonce_count=count,
        body=changes.get("body", "").encode(),
    )


def request(*credentials: str, body: bytes = b"") -> Request:
    fields = [("Authorization", value) for value in credentials]
    return Request("REGISTER", "sip:192.0.2.1:5060", Headers(fields), body)


@pytest.mark.parametrize(
    ("extra", "response"),
    [
        ("", "da0b48d27ae30f5413ac57acfa686de3"),
        (', qop="auth"', "53b7df875a012c7c313f7709f8c7682a"),
        (', algorithm="SM3"', "7aba8258aa8e14613846b4855a32f962ca03fa90cc7e8fc0aa55d0d7bc990709"),
    ],
)
def test_answers_have_the_known_values(extra: str, response: str) -> None:
    value = reply([f'Digest realm="{REALM}", nonce="{NONCE}"{extra}'])
    assert parse_credentials(value).parameters["response"] == response


def test_answer_is_written_as_devices_expect_it() -> None:
    assert reply([f'Digest realm="{REALM}", nonce="{NONCE}", opaque="o", qop="auth-int,auth"']) == (
        f'Digest username="{USER}", realm="{REALM}", nonce="{NONCE}", uri="{URI}", '
        'response="53b7df875a012c7c313f7709f8c7682a", algorithm=MD5, opaque="o", qop=auth, '
        'nc=00000001, cnonce="0a4f113b"'
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, response: str) -> None:  # RFC 7616 3.9.1
    value = answer(
        [
            f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        ],
        username="Mufasa",
        password="Circle of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert parse_credentials(value).parameters["response"] == response


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SM3"])
@pytest.mark.parametrize("qop", [None, "auth", "auth-int", "auth,auth-int"])
def test_own_answers_are_accepted(algorithm: str, qop: str | None) -> None:
    digest = server(algorithms=(algorithm,), qop=qop)
    value = reply(digest.challenge(USER, 5.0), body="x")
    assert digest.verify(request(value, body=b"x"), USER, PASSWORD, 6.0) is Verdict.OK


def test_auth_int_protects_the_body() -> None:
    digest = server(qop="auth-int")
    value = reply(digest.challenge(USER, 5.0), body="x")
    assert digest.verify(request(value, body=b"y"), USER, PASSWORD, 6.0) is Verdict.WRONG


def test_an_ha1_serves_on_both_sides() -> None:
    digest = server()
    ha1 = Ha1(compute_ha1(USER, REALM, PASSWORD))
    assert ha1.digest == "8258341d7dd730ce4d3b8fd2db050320"
    value = reply(digest.challenge(USER, 5.0), password=ha1)
    assert digest.verify(request(value), USER, ha1, 5.0) is Verdict.OK


def test_an_ha1_of_another_hash_serves_not() -> None:
    digest = server(algorithms=("SHA-256",))
    challenges = digest.challenge(USER, 5.0)
    ha1 = Ha1(compute_ha1(USER, REALM, PASSWORD))
    assert digest.verify(request(reply(challenges)), USER, ha1, 5.0) is Verdict.WRONG
    with pytest.raises(UnsupportedChallenge, match="MD5"):
        reply(challenges, password=ha1)


def test_challenges_come_strongest_first() -> None:
    values = server(algorithms=("SM3", "SHA-256", "MD5")).challenge(USER, 0.0, stale=True)
    parsed = [parse_challenge(value) for value in values]
    assert [value.algorithm for value in parsed] == ["SM3", "SHA-256", "MD5"]
    assert all(value.realm == REALM and value.is_stale and not value.qop for value in parsed)
    assert parse_credentials(reply(values)).algorithm == "SM3"


def test_default_challenge_is_plain() -> None:
    (value,) = server(qop="auth").challenge(USER, 0.0)
    nonce = parse_challenge(value).nonce
    assert value == f'Digest realm="{REALM}", nonce="{nonce}", qop="auth", algorithm=MD5'
    assert len(nonce) == 32


def test_no_nonce_is_given_twice() -> None:
    digest = server()
    nonces = {parse_challenge(digest.challenge(USER, 1.0)[0]).nonce for _ in range(1000)}
    assert len(nonces) == 1000


@pytest.mark.parametrize("credentials", [[], ["Basic eDp5"], ["Capability algorithm=x"], ["="]])
def test_without_digest_credentials(credentials: list[str]) -> None:
    assert server().verify(request(*credentials), USER, PASSWORD, 0.0) is Verdict.NO_CREDENTIALS


def test_digest_is_found_behind_other_schemes() -> None:
    digest = server()
    value = reply(digest.challenge(USER, 0.0))
    assert digest.verify(request("Basic eDp5", value), USER, PASSWORD, 0.0) is Verdict.OK


def test_a_wrong_password_is_wrong_each_time() -> None:
    digest = server()
    value = reply(digest.challenge(USER, 0.0))
    for _ in range(2):
        assert digest.verify(request(value), USER, "other", 0.0) is Verdict.WRONG
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.OK


def test_a_nonce_serves_once_without_qop() -> None:
    digest = server()
    value = reply(digest.challenge(USER, 0.0))
    assert digest.verify(request(value), USER, PASSWORD, 1.0) is Verdict.OK
    assert digest.verify(request(value), USER, PASSWORD, 1.0) is Verdict.STALE
    shouted = value.replace(parse_credentials(value).parameters["nonce"], "{}")
    nonce = parse_credentials(value).parameters["nonce"].upper()
    replayed = digest.verify(request(shouted.format(nonce)), USER, PASSWORD, 1.0)
    assert replayed is not Verdict.OK


def test_nonce_count_must_rise_with_qop() -> None:
    digest = server(qop="auth")
    challenges = digest.challenge(USER, 0.0)
    counts = [1, 2, 2, 1, 7]
    verdicts = [
        digest.verify(request(reply(challenges, count=count)), USER, PASSWORD, 1.0)
        for count in counts
    ]
    assert [verdict is Verdict.OK for verdict in verdicts] == [True, True, False, False, True]


@pytest.mark.parametrize(("age", "verdict"), [(60.0, Verdict.OK), (60.1, Verdict.STALE)])
def test_a_nonce_lives_sixty_seconds(age: float, verdict: Verdict) -> None:
    digest = server()
    value = reply(digest.challenge(USER, 1000.0))
    assert digest.verify(request(value), USER, PASSWORD, 1000.0 + age) is verdict


def test_an_old_nonce_with_a_wrong_password_is_wrong() -> None:
    digest = server()
    value = reply(digest.challenge(USER, 0.0))
    assert digest.verify(request(value), USER, "other", 100.0) is Verdict.WRONG


def test_the_clock_may_wrap() -> None:
    digest = server()
    value = reply(digest.challenge(USER, 2**40 / 1000 - 1))
    assert digest.verify(request(value), USER, PASSWORD, 2**40 / 1000 + 1) is Verdict.OK


@pytest.mark.parametrize("nonce", [NONCE, "", "xyz", "0" * 33, "0 " * 16, "摄"])
def test_a_foreign_nonce(nonce: str) -> None:
    value = reply([f'Digest realm="{REALM}", nonce="{nonce}"'])
    assert server().verify(request(value), USER, PASSWORD, 0.0) is Verdict.FOREIGN_NONCE


def test_a_nonce_of_another_user_or_server_is_foreign() -> None:
    digest = server()
    value = reply(digest.challenge("another", 0.0))
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.FOREIGN_NONCE
    other = DigestServer(REALM, b"another secret")
    value = reply(other.challenge(USER, 0.0))
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.FOREIGN_NONCE


def test_a_server_with_the_same_secret_accepts_after_a_restart() -> None:
    value = reply(server().challenge(USER, 0.0))
    assert server().verify(request(value), USER, PASSWORD, 1.0) is Verdict.OK


def test_credentials_of_another_user() -> None:
    digest = server()
    value = reply(digest.challenge(USER, 0.0), username="another")
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.WRONG_USER


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("algorithm=MD5", "algorithm=SHA-256"),
        ("algorithm=MD5", "algorithm=ROT13"),
        ("qop=auth", "qop=none"),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=0000000g"),
        ("nc=00000001, ", ""),
        ('response="', 'response="0'),
        ('response="', 'response="摄'),
    ],
)
def test_a_changed_answer_is_wrong(old: str, new: str) -> None:
    digest = server(qop="auth")
    value = reply(digest.challenge(USER, 0.0)).replace(old, new)
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.WRONG


def test_an_answer_made_with_another_realm_is_wrong() -> None:
    digest = server()
    (challenge,) = digest.challenge(USER, 0.0)
    value = reply([challenge.replace(REALM, "elsewhere")])
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.WRONG


def test_forgotten_nonces_do_not_serve_again() -> None:
    digest = server(remembered=2)
    early = [reply(digest.challenge(USER, 1.0 + step)) for step in range(4)]
    for value in early:
        assert digest.verify(request(value), USER, PASSWORD, 6.0) is Verdict.OK
    for value in early:
        assert digest.verify(request(value), USER, PASSWORD, 6.0) is Verdict.STALE
    later = reply(digest.challenge(USER, 6.0))
    assert digest.verify(request(later), USER, PASSWORD, 6.0) is Verdict.OK
    last = reply(digest.challenge(USER, 100.0))
    assert digest.verify(request(last), USER, PASSWORD, 100.0) is Verdict.OK


def test_a_server_without_memory_accepts_no_nonce_twice() -> None:
    digest = server(remembered=0)
    values = [reply(digest.challenge(USER, 1.0)) for _ in range(2)]
    assert digest.verify(request(values[0]), USER, PASSWORD, 1.0) is Verdict.OK
    assert digest.verify(request(values[0]), USER, PASSWORD, 1.0) is Verdict.STALE
    assert digest.verify(request(values[1]), USER, PASSWORD, 1.0) is Verdict.STALE
    later = reply(digest.challenge(USER, 2.0))
    assert digest.verify(request(later), USER, PASSWORD, 2.0) is Verdict.OK


@pytest.mark.parametrize(
    "settings", [{"algorithms": ("ROT13",)}, {"algorithms": ()}, {"qop": "secret"}]
)
def test_unknown_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        server(**settings)


@pytest.mark.parametrize(
    ("challenges", "said"),
    [
        ([], "nothing"),
        (["Basic realm=x"], "Basic"),
        (['Digest realm="r", nonce="n", algorithm=AKAv1-MD5'], "AKAv1-MD5"),
        (['Digest realm="r", nonce="n", qop="confidential"'], "confidential"),
        (["="], "unreadable"),
    ],
)
def test_what_cannot_be_answered_is_named(challenges: list[str], said: str) -> None:
    with pytest.raises(UnsupportedChallenge, match=said):
        reply(challenges)
    with pytest.raises(UnsupportedChallenge):
        compute_ha1(USER, REALM, PASSWORD, "ROT13")


@pytest.mark.parametrize(
    "value",
    [
        'Basic realm="a, Digest x=y", Digest realm="{}", nonce="n", algorithm=SHA-256, '
        'Digest realm="r", nonce="m", algorithm=MD5',
        'Negotiate , NTLM , Digest realm="{}",nonce="n",algorithm="sha256",Digest realm="r"',
        "Digest realm='{}', nonce='n', algorithm=SHA256",
        'Digest realm="{}", nonce="n", qop="auth,auth-int", stale = FALSE, algorithm=sha-256',
    ],
)
def test_one_field_may_hold_several_challenges(value: str) -> None:  # RFC 7616 3.7
    given = parse_credentials(reply([value.format(REALM)])).parameters
    assert (given["realm"], given["nonce"], len(given["response"])) == (REALM, "n", 64)


def test_a_client_takes_the_first_challenge_it_can_answer() -> None:  # RFC 8760 2.4
    value = 'Digest realm="a", nonce="1", algorithm=ROT13, Digest realm="b", nonce="2"'
    assert parse_credentials(reply([value])).parameters["realm"] == "b"


@pytest.mark.parametrize(
    ("offered", "spelling"),
    [
        ("MD5", "md5"),
        ("MD5", '"MD5"'),
        ("SHA-256", "sha256"),
        ("SHA-256", "'Sha-256'"),
        ("MD5-sess", "MD5-SESS"),
        ("SHA-256-sess", "sha256-sess"),
        ("SM3", "sm3"),
    ],
)
def test_any_spelling_of_the_algorithm_is_understood(offered: str, spelling: str) -> None:
    digest = server(algorithms=(offered,))
    (challenge,) = digest.challenge(USER, 0.0)
    respelled = challenge.replace(f"algorithm={offered}", f"algorithm={spelling}")
    assert respelled != challenge or offered == spelling
    value = reply([respelled])
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.OK


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SM3"])
def test_an_algorithm_left_out_is_the_only_one_offered(algorithm: str) -> None:
    digest = server(algorithms=(algorithm,))
    value = reply(digest.challenge(USER, 0.0)).replace(f", algorithm={algorithm}", "")
    assert "algorithm" not in value
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.OK


def test_single_quotes_are_understood() -> None:
    digest = server(qop="auth")
    value = reply(digest.challenge(USER, 0.0)).replace('"', "'")
    assert digest.verify(request(value), USER, PASSWORD, 0.0) is Verdict.OK


def test_a_hash_that_openssl_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashlib.algorithms_available", {"md5", "sha256"})
    with pytest.raises(LocalProtocolError, match="OpenSSL of this Python has no SM3"):
        server(algorithms=("SM3",))
    with pytest.raises(UnsupportedChallenge, match="SM3"):
        reply([f'Digest realm="{REALM}", nonce="n", algorithm=SM3'])


# Attacks, each with the whole message as it comes from the wire


def register(authorization: str, *, user: str = USER, branch: str = "1", cseq: int = 2) -> Request:
    parsed = parse_datagram(
        f"REGISTER {URI} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK{branch}\r\n"
        f"From: <sip:{user}@{REALM}>;tag=1\r\nTo: <sip:{user}@{REALM}>\r\n"
        f"Call-ID: 1\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{user}@192.0.2.10>\r\n"
        f"Authorization: {authorization}\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n".encode()
    )
    assert isinstance(parsed, Request)
    return parsed


@pytest.mark.parametrize("qop", [None, "auth", "auth-int"])
def test_a_replayed_register_is_refused(qop: str | None) -> None:
    digest = server(qop=qop)
    value = reply(digest.challenge(USER, 0.0))
    first = register(value)
    assert digest.verify(first, USER, PASSWORD, 1.0) is Verdict.OK
    assert digest.verify(first, USER, PASSWORD, 2.0) is Verdict.STALE
    # Nor does another branch, CSeq or spelling help, nor waiting until the nonce is forgotten.
    assert digest.verify(register(value, branch="2", cseq=3), USER, PASSWORD, 3.0) is Verdict.STALE
    swapped = value.replace('response="', 'RESPONSE = "')
    assert digest.verify(register(swapped), USER, PASSWORD, 3.0) is Verdict.STALE
    assert digest.verify(first, USER, PASSWORD, 1000.0) is Verdict.STALE


def test_dropping_qop_does_not_make_a_nonce_fresh() -> None:
    digest = server(qop="auth")
    (challenge,) = digest.challenge(USER, 0.0)
    value = reply([challenge])
    assert digest.verify(register(value), USER, PASSWORD, 1.0) is Verdict.OK
    plain = reply([challenge.replace(', qop="auth"', "")])
    assert digest.verify(register(plain), USER, PASSWORD, 1.0) is Verdict.STALE


def test_a_stolen_nonce_is_refused() -> None:
    """A nonce that was made for one user does not serve another, who knows his own password."""
    digest = server()
    thief = "34020000001320000666"
    value = reply(digest.challenge(USER, 0.0), username=thief)
    assert digest.verify(register(value, user=thief), thief, PASSWORD, 1.0) is (
        Verdict.FOREIGN_NONCE
    )


def test_a_nonce_of_another_server_is_refused() -> None:
    value = reply(DigestServer(REALM, b"fedcba9876543210").challenge(USER, 0.0))
    assert server().verify(register(value), USER, PASSWORD, 1.0) is Verdict.FOREIGN_NONCE
    # The same secret under another realm is another server, too.
    value = reply(DigestServer("elsewhere", b"0123456789abcdef").challenge(USER, 0.0))
    assert server().verify(register(value), USER, PASSWORD, 1.0) is Verdict.FOREIGN_NONCE


def test_right_credentials_for_another_user_are_refused() -> None:
    """Who knows one password cannot register another user with it."""
    digest = server()
    victim = "34020000001320000777"
    value = reply(digest.challenge(USER, 0.0))
    assert digest.verify(register(value, user=victim), victim, PASSWORD, 1.0) is Verdict.WRONG_USER


def test_nonce_count_must_rise_for_each_nonce_of_its_own() -> None:
    digest = server(qop="auth")
    one, other = digest.challenge(USER, 0.0), digest.challenge(USER, 0.0)
    for challenges in (one, other):
        value = reply(challenges, count=5)
        assert digest.verify(register(value), USER, PASSWORD, 1.0) is Verdict.OK
    for count, verdict in [(5, Verdict.STALE), (4, Verdict.STALE), (6, Verdict.OK)]:
        value = reply(one, count=count)
        assert digest.verify(register(value), USER, PASSWORD, 1.0) is verdict


def test_responses_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    digest = server()
    value = reply(digest.challenge(USER, 0.0))
    assert digest.verify(register(value), USER, PASSWORD, 1.0) is Verdict.OK
    response = parse_credentials(value).parameters["response"].encode()
    assert (response, response) in compared
    assert len(compared) == 2  # the seal of the nonce, and the response
