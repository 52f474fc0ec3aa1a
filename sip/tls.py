"""TLS over any byte transport: contexts from settings, and one session as bytes in, bytes out."""

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

READ_SIZE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Who we are over TLS, and whom we believe. Files are PEM."""

    certificate: str = ""
    """File with our certificate and its chain; shown as a server, and as a client when asked."""
    key: str = ""
    """File with its key; empty when it is in the file of the certificate."""
    names: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Certificate and key by the name that a client asks for (SNI)."""
    authorities: str = ""
    """File with those who sign our peers' certificates; empty for the system's."""
    verifies_servers: bool = True
    """Whether a server must show a certificate for its host that an authority has signed."""
    asks_clients: bool = False
    """Whether a client is asked for a certificate; one that it shows must be good."""
    requires_clients: bool = False
    """Whether a client without a certificate is refused."""
    server_name: str = ""
    """Name that servers are asked for and must show; empty for the host of the target."""
    server_context: ssl.SSLContext | None = None
    """Used in place of one made from the fields above."""
    client_context: ssl.SSLContext | None = None
    """Used in place of one made from the fields above."""


class TlsContexts:
    """The contexts that new sessions start from. A reload makes new ones; sessions keep theirs."""

    def __init__(self, settings: TlsSettings) -> None:
        """Read the files.

        Raises:
            OSError: A file cannot be read or does not hold what it should; ``ssl.SSLError`` is one.
        """
        self.settings = settings
        self.client = settings.client_context or _client_context(settings)
        self.server = settings.server_context
        if self.server is None and settings.certificate:
            self.server = _server_context(settings)

    def accept(self) -> "TlsSession":
        """Make the session of a connection that came in."""
        assert self.server is not None
        return TlsSession(self.server)

    def connect(self, host: str) -> "TlsSession":
        """Make the session of a connection that we open.

        Raises:
            ValueError: The host is no name that a certificate could be for.
        """
        return TlsSession(self.client, server_hostname=self.settings.server_name or host)


class TlsSession:
    """One end of a TLS connection without its socket."""

    def __init__(self, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )
        self.is_ready = False
        """The handshake is over."""
        self.is_closed = False
        """The peer said that it will send no more."""

    def start(self) -> None:
        """Begin the handshake."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the connection; return the plain ones they complete.

        Raises:
            ssl.SSLError: The handshake failed or the peer broke the protocol; what ``outgoing``
                holds tells it so.
        """
        self._incoming.write(data)
        if not self.is_ready and not self._shake_hands():
            return b""
        plain = bytearray()
        try:
            while piece := self._object.read(READ_SIZE):
                plain += piece
            self.is_closed = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.is_closed = True
        return bytes(plain)

    def send(self, data: bytes) -> None:
        """Take plain bytes."""
        if data:
            self._object.write(data)

    def close(self) -> None:
        """Say that we will send no more."""
        # The peer has not said so yet, or there never was a session.
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()

    def outgoing(self) -> bytes:
        """Take out what the connection is to carry."""
        return self._outgoing.read()

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate (DER); None when it showed none."""
        return self._object.getpeercert(binary_form=True)

    def _shake_hands(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.is_ready = True
        return True


def _client_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(
        ssl.Purpose.SERVER_AUTH, cafile=settings.authorities or None
    )
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not settings.verifies_servers:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key or None)
    return context


def _server_context(settings: TlsSettings) -> ssl.SSLContext:
    context = _one_server_context(settings, settings.certificate, settings.key)
    others = {
        name.lower(): _one_server_context(settings, certificate, key)
        for name, (certificate, key) in settings.names.items()
    }

    def choose(chosen: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        other = others.get((name or "").lower())
        if other is not None:
            chosen.context = other

    if others:
        context.sni_callback = choose
    return context


def _one_server_context(settings: TlsSettings, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate, key or None)
    if settings.asks_clients or settings.requires_clients:
        context.verify_mode = ssl.CERT_REQUIRED if settings.requires_clients else ssl.CERT_OPTIONAL
        if settings.authorities:
            context.load_verify_locations(settings.authorities)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return context
