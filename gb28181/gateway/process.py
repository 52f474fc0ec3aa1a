"""Gateway: the platform, its cascades and the control socket, opened and closed in order."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sip.tls import TlsSettings

from ..archive.archive import Archive, ArchiveSettings
from ..cascade import Cascade, Upper
from ..device import Nameplate
from ..errors import ConfigError
from ..media.workers import WorkerPlane
from ..platform import Platform
from ..quirks import Quirks
from ..registrar import RegistrarConfig
from ..upper.share import IdMap, Share
from .control import ControlServer
from .verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ..manscdp.catalog import CatalogItem
    from .config import CascadeSection, Config, TlsSection

logger = logging.getLogger("gb28181.gateway")


class Gateway:
    """One gateway process, made of a configuration."""

    def __init__(self, config: Config, *, where: Path) -> None:
        """Read the secrets and prepare everything; nothing is opened yet.

        Args:
            config: The checked file.
            where: The folder that relative paths of the file mean.

        Raises:
            ConfigError: A password file or an id map cannot be read, or a password is missing.
        """
        self.config = config
        self._where = where
        self._passwords = {
            device.id: device.secret(where) for device in config.device if _has_secret(device)
        }
        self._common = config.platform.secret(where)
        if not self._common and not self._passwords:
            raise ConfigError(
                "platform.password: give one, or a password for each [[device]]; "
                "without any no device could register"
            )
        self._devices = {device.id: device for device in config.device}
        self._workers = self._make_workers(config)
        self.platform = self._make_platform(config)
        self.archive = self._make_archive(config)
        self.cascades = [self._make_cascade(section) for section in config.cascade]
        self._control: ControlServer | None = None

    async def start(self) -> None:
        """Start the workers, open the control socket, the platform, then the cascades.

        Raises:
            OSError: An address or the control socket is in use.
            MediaWorkerLost: A worker did not start.
        """
        try:
            if self._workers is not None:
                await self._workers.start()
            await self.platform.start()
            control = ControlServer(
                self._where / self.config.control.socket,
                Verbs(self.platform, self.cascades, self.archive).table(),
                self.platform.station.supervisor,
            )
            await control.start()
            self._control = control
            if self.archive is not None:
                await self.archive.start()
            for cascade in self.cascades:
                await cascade.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Unregister above, end every session, close everything. Idempotent."""
        for cascade in self.cascades:
            await cascade.stop()
        if self.archive is not None:
            await self.archive.stop()
        await self.platform.stop()
        if self._workers is not None:
            await self._workers.close()
        if self._control is not None:
            await self._control.stop()
            self._control = None

    def reload_certificates(self) -> None:
        """Read the TLS files anew, after they were replaced; what is wrong with them is logged."""
        try:
            self.platform.station.endpoint.reload_tls()
        except OSError as exc:
            logger.error("the certificates are not reloaded, the old ones stay in use: %s", exc)
        else:
            logger.info("certificates are read anew; connections that stand keep theirs")

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _make_platform(self, config: Config) -> Platform:
        section, media = config.platform, config.media
        return Platform(
            section.id,
            password_for=lambda device_id: self._passwords.get(device_id) or self._common or None,
            domain=section.domain or None,
            listen=section.listen,
            media_ports=media.port_range,
            advertise=media.advertise,
            edition=section.edition,
            media_mode=self._media_mode,
            shared_media_port=self._shares_media_port,
            quirks_for=self._quirks_for,
            registrar=RegistrarConfig(
                server_id=section.id,
                min_expires=section.min_expires,
                keepalive_interval=section.keepalive_interval,
                keepalive_count=section.keepalive_count,
                flow_grace=section.flow_grace,
            ),
            answer_timeout=media.answer_timeout,
            media_timeout=media.media_timeout,
            silence=media.silence,
            gather_tick=media.gather_tick,
            linger=media.idle_timeout,
            catalog_interval=section.catalog_interval,
            tls=self._tls(config.tls),
            limits=config.sip.limits,
            overload=config.sip.overload,
            plane=self._workers,
        )

    def _make_workers(self, config: Config) -> WorkerPlane | None:
        media = config.media
        if media.workers == 0:
            return None
        return WorkerPlane(
            media.workers, ports=media.port_range, tick=media.gather_tick, silence=media.silence
        )

    def _make_archive(self, config: Config) -> Archive | None:
        if not config.recording:
            return None
        section = config.archive
        gigabytes = section.max_gigabytes
        settings = ArchiveSettings(
            length=section.length,
            speed=section.speed,
            fill_days=section.fill_days,
            fills_at_once=section.fills_at_once,
            max_bytes=None if gigabytes is None else int(gigabytes * 1e9),
            min_free=int(section.min_free_gigabytes * 1e9),
        )
        plans = [recording.plan for recording in config.recording]
        return Archive(self.platform, self._where / section.folder, plans, settings=settings)

    def _tls(self, section: TlsSection) -> TlsSettings:
        def path(file: Path | None) -> str:
            return str(self._where / file) if file else ""

        return TlsSettings(
            certificate=path(section.certificate),
            key=path(section.key),
            names={
                name: (path(one.certificate), path(one.key)) for name, one in section.names.items()
            },
            authorities=path(section.authorities),
            verifies_servers=section.verifies_servers,
            asks_clients=section.requires_clients,
            requires_clients=section.requires_clients,
        )

    def _make_cascade(self, section: CascadeSection) -> Cascade:
        upper = Upper(
            id=section.upper_id,
            server=section.upper,
            password=section.secret(self._where),
            edition=section.edition,
            domain=section.domain or None,
            expires=section.expires,
            keepalive_interval=section.keepalive_interval,
            keepalive_count=section.keepalive_count,
            retry=section.retry,
            retry_spread=section.retry_spread,
            refused_retry=max(section.retry, 300.0) if section.retry >= 60 else section.retry,
        )
        share = Share(
            wanted=_prefix_filter(section.share),
            ids=IdMap.load(self._where / section.ids) if section.ids else IdMap(),
            ptz=section.ptz,
        )
        nameplate = Nameplate(name=self.config.platform.name, model="gateway")
        return Cascade(self.platform, upper, share, nameplate=nameplate, archive=self.archive)

    def _media_mode(self, device_id: str) -> str:
        device = self._devices.get(device_id)
        return (device.media if device else None) or self.config.media.mode

    def _shares_media_port(self, device_id: str) -> bool:
        device = self._devices.get(device_id)
        if device is None or device.media_port is None:
            return self.config.media.single_port
        return device.media_port == "shared"

    def _quirks_for(self, device_id: str) -> Quirks:
        device = self._devices.get(device_id)
        if device is None or not device.quirks:
            return Quirks()
        try:
            return Quirks(**device.quirks)  # type: ignore[arg-type]  # checked by its own fields
        except TypeError as error:
            raise ConfigError(f"device {device_id}: quirks: {error}") from error


async def serve(
    gateway: Gateway, stop: asyncio.Event, ready: Callable[[], None]
) -> BaseException | None:
    """Run until ``stop`` is set or the platform dies; return what it died of.

    ``ready`` is called once everything is open.
    """
    async with gateway:
        ready()
        closed = asyncio.ensure_future(gateway.platform.wait_closed())
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({closed, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return closed.result() if closed.done() else None
        finally:
            closed.cancel()
            stopped.cancel()


def _has_secret(section: object) -> bool:
    return bool(getattr(section, "password", "") or getattr(section, "password_file", None))


def _prefix_filter(prefixes: tuple[str, ...]) -> Callable[[CatalogItem], bool]:
    """Whether an item's civil code or id begins with one of the prefixes."""

    def wanted(item: CatalogItem) -> bool:
        return item.device_id.startswith(prefixes) or (item.civil_code or "").startswith(prefixes)

    return wanted if prefixes else (lambda item: True)
