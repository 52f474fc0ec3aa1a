"""The configuration file of the gateway: TOML, checked key by key."""

from __future__ import annotations

import os
import secrets
import string
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sip.overload import OverloadLimits, StackLimits
from sip.parser import Limits
from sip.transport import parse_address

from ..addresses import require_address
from ..archive.plan import Plan, Window
from ..edition import Edition
from ..errors import ConfigError

DEFAULT_FILE = Path("gateway.toml")
EXAMPLE_ID = "34020000002000000001"

MediaMode = Literal["udp", "tcp-passive", "tcp-active"]
DeviceCode = Annotated[str, Field(pattern=r"^[0-9]{20}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Secret(_Section):
    """A section with a password, given in the file or in a file of its own."""

    password: str = ""
    password_file: Path | None = None

    def secret(self, where: Path) -> str:
        """The password; a relative ``password_file`` lies beside the configuration.

        Raises:
            ConfigError: The file cannot be read.
        """
        if self.password_file is None:
            return self.password
        path = where / self.password_file
        try:
            return path.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(f"password_file {path}: {error.strerror}") from error


class PlatformSection(_Secret):
    """Who we are, and how devices reach us."""

    id: DeviceCode
    domain: str = ""
    name: str = "gateway"
    listen: tuple[str, ...] = ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")
    edition: Edition = Edition.GB2016
    keepalive_interval: float = Field(default=60.0, gt=0)
    keepalive_count: int = Field(default=3, ge=1)
    min_expires: int = Field(default=60, ge=1)
    flow_grace: float = Field(default=30.0, ge=0)
    catalog_interval: float = Field(default=3600.0, gt=0)

    @field_validator("listen")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            parse_address(address)
        return value


class MediaSection(_Section):
    """Media ports and times."""

    advertise: dict[str, str] = Field(default_factory=lambda: {"*": "auto"})
    ports: str = Field(default="30000-30999", pattern=r"^[0-9]{1,5}-[0-9]{1,5}$")
    mode: MediaMode = "udp"
    single_port: bool = False
    idle_timeout: float = Field(default=15.0, ge=0)
    answer_timeout: float = Field(default=15.0, gt=0)
    media_timeout: float = Field(default=10.0, gt=0)
    silence: float = Field(default=30.0, gt=0)
    gather_tick: float = Field(default=0.005, ge=0, le=0.1)
    workers: int = Field(default=0, ge=0, le=64)

    @property
    def port_range(self) -> range:
        """The pool of media ports."""
        first, last = (int(port) for port in self.ports.split("-"))
        return range(first, last + 1)


class TlsName(_Section):
    """The certificate for clients that ask for one name (SNI)."""

    certificate: Path
    key: Path | None = None


class TlsSection(_Section):
    """Certificates for ``tls://`` addresses; PEM files, beside the configuration."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    verifies_servers: bool = True
    requires_clients: bool = False
    names: dict[str, TlsName] = Field(default_factory=dict)


class SipSection(_Section):
    """What a peer may send before it is refused, and how much is served at once."""

    head: int = Field(default=32_768, ge=1024)
    line: int = Field(default=16_384, ge=256)
    fields: int = Field(default=256, ge=16)
    body: int = Field(default=4 * 1024 * 1024, ge=65_536)
    transactions: int = Field(default=65_536, ge=1)
    connections: int = Field(default=16_384, ge=1)
    connections_per_source: int = Field(default=4096, ge=1)
    rate: float = Field(default=50.0, gt=0)
    burst: float = Field(default=1000.0, ge=1)
    failure_cost: float = Field(default=5.0, ge=0)
    retry_after: int = Field(default=10, ge=1)
    refusals: int = Field(default=10_000, ge=1)
    first_message: float = Field(default=10.0, gt=0)
    whole_message: float = Field(default=30.0, gt=0)
    stranger_idle: float = Field(default=300.0, gt=0)

    @property
    def limits(self) -> StackLimits:
        """The same for an endpoint: sizes and tables."""
        messages = Limits(head=self.head, line=self.line, fields=self.fields, body=self.body)
        return StackLimits(messages=messages, transactions=self.transactions)

    @property
    def overload(self) -> OverloadLimits:
        """The same for an endpoint: whom to serve when there is too much to do."""
        return OverloadLimits(
            connections=self.connections,
            connections_per_source=self.connections_per_source,
            rate=self.rate,
            burst=self.burst,
            failure_cost=self.failure_cost,
            retry_after=self.retry_after,
            refusals=self.refusals,
            first_message=self.first_message,
            whole_message=self.whole_message,
            stranger_idle=self.stranger_idle,
        )


class ControlSection(_Section):
    """The Unix socket that ``gb28181 status`` and ``play`` talk to."""

    socket: Path = Path("gateway.sock")


class ArchiveSection(_Section):
    """Where recordings lie, and how they are kept whole."""

    folder: Path = Path("recordings")
    length: float = Field(default=600.0, ge=10)
    speed: int = Field(default=4, ge=1, le=64)
    fill_days: float = Field(default=7.0, ge=0)
    fills_at_once: int = Field(default=2, ge=1)
    max_gigabytes: float | None = Field(default=None, gt=0)
    min_free_gigabytes: float = Field(default=1.0, ge=0)


class RecordingSection(_Section):
    """What is recorded of some channels; the first section about a channel counts."""

    channels: tuple[str, ...] = ("",)
    """Ids, or what they begin with; every channel when empty."""
    windows: tuple[str, ...] = ()
    on_alarm: float = Field(default=0.0, ge=0)
    alarms_only: bool = False
    keep_days: float = Field(default=30.0, gt=0)
    fills: bool = True

    @field_validator("windows")
    @classmethod
    def _windows(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                Window.parse(text)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return value

    @property
    def plan(self) -> Plan:
        """The same for an archive."""
        return Plan(
            channels=self.channels,
            windows=tuple(Window.parse(text) for text in self.windows),
            on_alarm=self.on_alarm,
            alarms_only=self.alarms_only,
            keep_days=self.keep_days,
            fills=self.fills,
        )


class CascadeSection(_Secret):
    """One platform above."""

    upper_id: DeviceCode
    upper: str
    domain: str = ""
    edition: Edition = Edition.GB2016
    expires: int = Field(default=3600, ge=1)
    keepalive_interval: float = Field(default=60.0, gt=0)
    keepalive_count: int = Field(default=3, ge=1)
    retry: float = Field(default=60.0, gt=0)
    retry_spread: float = Field(default=30.0, ge=0)
    share: tuple[str, ...] = ()
    """Civil codes or id prefixes that are shared; everything when empty."""
    ids: Path | None = None
    ptz: bool = True

    @field_validator("upper")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            require_address(value, "address")
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value


class DeviceSection(_Secret):
    """What is special of one device."""

    id: DeviceCode
    media: MediaMode | None = None
    media_port: Literal["own", "shared"] | None = None
    quirks: dict[str, str | bool] = Field(default_factory=dict)


class Config(_Section):
    """The whole file."""

    platform: PlatformSection
    media: MediaSection = MediaSection()
    tls: TlsSection = TlsSection()
    sip: SipSection = SipSection()
    control: ControlSection = ControlSection()
    archive: ArchiveSection = ArchiveSection()
    recording: tuple[RecordingSection, ...] = ()
    cascade: tuple[CascadeSection, ...] = ()
    device: tuple[DeviceSection, ...] = ()


def load(path: Path) -> Config:
    """Read and check a file.

    Raises:
        ConfigError: It cannot be read, is not TOML, or a key is wrong; the sentence names the key.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _sentences(error))) from error
    _check_together(path, config)
    return config


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "the file"
        if fault["type"] == "extra_forbidden":
            sentences.append(f"{key}: there is no such key")
        elif fault["type"] == "missing":
            sentences.append(f"{key}: this key is needed")
        else:
            sentences.append(f"{key}: {fault['msg'].removeprefix('Value error, ')}")
    return sentences


def _check_together(path: Path, config: Config) -> None:
    ports = config.media.port_range
    if len(ports) < 4 or ports[0] < 1024 or ports[-1] > 65535:
        raise ConfigError(f"{path}: media.ports: {config.media.ports!r} is not a range of ports")
    ids = [device.id for device in config.device]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice:
        raise ConfigError(f"{path}: device: {twice} is there twice")


_TEMPLATE = """\
# gateway.toml: the GB/T 28181 gateway. Only [platform] is needed; the rest shows its defaults.

[platform]
id = "{id}"            # our own 20-digit code (type 200: a platform)
password = "{password}"   # every device's password; or password_file = "path"
listen = ["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"]
# name = "gateway"
# domain = "{domain}"              # the SIP domain; the first ten digits of the id
# keepalive_interval = 60              # seconds; offline after interval x count
# keepalive_count = 3
# catalog_interval = 3600              # seconds until a device's catalogue is asked for again

# [media]
# advertise = {{ "*" = "auto" }}        # the address a peer is told, by its network
# ports = "30000-30999"
# mode = "udp"                         # or "tcp-passive" (we listen), "tcp-active" (we connect)
# single_port = false                  # one port for all streams, told apart by SSRC
# idle_timeout = 15                    # seconds without a viewer before BYE
# workers = 0                          # processes for media; 0 is this one

# [tls]                                # for tls:// addresses, in listen and of upper platforms
# verifies_servers = true              # an upper must show a certificate for its host
# requires_clients = false             # devices must show one; set authorities = "ca.pem"

# [control]
# socket = "gateway.sock"              # for gb28181 status and play; only this user may use it

# [[recording]]                        # what is recorded here; nothing without such a section
# channels = [""]                      # ids, or what they begin with; "" is every channel
# windows = ["mon-fri 08:00-18:00"]    # when, by Beijing's clock; always without
# on_alarm = 60                        # seconds that an alarm of the channel is recorded for
# keep_days = 30                       # then it is deleted

# [archive]
# folder = "recordings"
# fill_days = 7                        # so far back, what is missing is fetched from the camera
# max_gigabytes = 500                  # the oldest go first; no limit without

# [[cascade]]                          # a platform above; any number
# upper_id = "34010000002000000001"
# upper = "udp://203.0.113.7:5060"
# password_file = "upper.password"

# [[device]]                           # what is special of one device
# id = "34020000001320000001"
# password = "..."
# media = "tcp-passive"
"""


def write_default(path: Path) -> str:
    """Write a commented file with a random device password, for its owner's eyes only.

    Returns:
        The password, to be shown once.

    Raises:
        OSError: The file exists already, or the folder cannot be written to.
    """
    alphabet = string.ascii_letters + string.digits
    password = "".join(secrets.choice(alphabet) for _ in range(16))
    text = _TEMPLATE.format(id=EXAMPLE_ID, password=password, domain=EXAMPLE_ID[:10])
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return password
