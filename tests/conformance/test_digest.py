"""The kit's own digest."""

from conformance.peers.digest import authorization, read_parameters, response_of


def test_response_of_the_documented_registration() -> None:
    parameters = {
        "realm": "3402000000",
        "nonce": "44010b73623249f6916a6acf7c316b8e",
        "uri": "sip:34020000002000000001@3402000000",
    }
    response = response_of(
        parameters, username="34020000001320000001", password="12345678", method="REGISTER"
    )
    assert response == "da0b48d27ae30f5413ac57acfa686de3"


def test_qop_of_rfc_2617() -> None:
    parameters = {
        "realm": "testrealm@host.com",
        "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "uri": "/dir/index.html",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "0a4f113b",
    }
    response = response_of(parameters, username="Mufasa", password="Circle Of Life", method="GET")
    assert response == "6629fae49393a05397450978507c4ef1"


def test_answer_repeats_realm_nonce_and_opaque() -> None:
    value = authorization(
        'Digest realm="r", nonce="n", opaque="o", qop="auth,auth-int"',
        username="u",
        password="p",
        method="REGISTER",
        uri="sip:x",
    )
    given = read_parameters(value)
    assert (given["realm"], given["nonce"], given["opaque"]) == ("r", "n", "o")
    assert (given["qop"], given["nc"]) == ("auth", "00000001")
    assert given["response"] == response_of(given, username="u", password="p", method="REGISTER")
