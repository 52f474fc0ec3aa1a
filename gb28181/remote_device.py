"""RemoteDevice: a registered device as its platform sees it."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Unpack

from .catalog import Catalog
from .commands.checks import check_of_config, check_of_control
from .commands.listing import CatalogAnswer, Progress, list_catalog
from .commands.orders import BLOCKS, CONTROLS, Orders, Rule, rule_of
from .commands.outcome import Capabilities, Outcome
from .commands.records import Records, Search, search_records
from .commands.settings import (
    ConfigBlock,
    are_told,
    lacking_blocks,
    merged_configuration,
    untold_blocks,
    wanted_blocks,
)
from .errors import AnswerIncomplete, CommandFailed, ConfigError, DeviceNotOnline, NoAnswer
from .manscdp.control import DeviceControl, DragZoom, HomePosition, PtzPrecise
from .manscdp.control import DeviceUpgrade as _Upgrade
from .manscdp.device_config import ConfigDownloadQuery, ConfigDownloadResponse, DeviceConfig
from .manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from .manscdp.device_status import DeviceStatusQuery, DeviceStatusResponse
from .manscdp.position import MobilePositionQuery
from .manscdp.preset import PresetQuery, PresetResponse
from .manscdp.ptz_state import (
    CruiseTrackListQuery,
    CruiseTrackListResponse,
    CruiseTrackQuery,
    CruiseTrackResponse,
    HomePositionQuery,
    HomePositionResponse,
    PtzPositionQuery,
    PtzPositionResponse,
)
from .manscdp.storage import SdCardStatusQuery, SdCardStatusResponse
from .ptz import encode_ptz
from .quirks import Quirks
from .sightings import Sightings

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .arming import Armed
    from .commands.commands import Commands
    from .edition import Edition
    from .manscdp.catalog import CatalogItem
    from .manscdp.config import SnapShotConfig
    from .manscdp.preset import Preset
    from .manscdp.ptz_state import CruiseTrack
    from .manscdp.storage import SdCard
    from .platform import Platform
    from .ptz import PtzCommand
    from .registrar import Binding
    from .subscriptions import Subscription

__all__ = ["CatalogAnswer", "RemoteDevice"]


class RemoteDevice:
    """One device: its registration, its catalogue, and what can be asked and demanded of it.

    The object stays the same while the device goes and comes back. ``target`` names one of its
    channels; without it the device itself is meant, and ``Channel`` fills it in. Commands return
    an ``Outcome`` whatever the device does; queries raise. What a device turned out not to support
    (``capabilities``) is answered at once unless ``insist``.

    Attributes:
        capabilities: What it turned out not to support, with evidence and expiry.
        quirks_seen: What it was seen doing otherwise than the standard: name to count.
        faulty: The devices below it that do not work, by its last heartbeat.
        halves_searches: Searches for recordings are cut at twelve hours: longer ones failed.
    """

    def __init__(self, device_id: str, platform: Platform, quirks: Quirks) -> None:
        self.id = device_id
        self.quirks = quirks
        self.charset: str | None = None
        self.info: DeviceInfoResponse | None = None
        self.tree = Catalog(device_id)
        self.capabilities = Capabilities()
        self.quirks_seen = Sightings()
        self.halves_searches = False
        self.faulty: frozenset[str] = frozenset()
        self._platform = platform
        self._orders = Orders(self, platform.commands)

    def __repr__(self) -> str:
        return f"RemoteDevice({self.id!r}, online={self.is_online})"

    @property
    def binding(self) -> Binding | None:
        """Its registration, or None."""
        return self._platform.registrar.binding(self.id)

    @property
    def is_online(self) -> bool:
        """Whether it is registered and heard."""
        binding = self.binding
        return binding is not None and binding.online and binding.flow_lost_at is None

    @property
    def edition(self) -> Edition:
        """Which edition it speaks: what it said, else the platform's default."""
        binding = self.binding
        return (binding.edition if binding else None) or self._platform.edition

    @property
    def channels(self) -> tuple[CatalogItem, ...]:
        """The items of its last complete catalogue."""
        return self.tree.items

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """How each of our subscriptions to it stands."""
        return self._platform.subscriptions.of(self.id)

    def require_binding(self) -> Binding:
        """The binding of a device that can be asked.

        Raises:
            DeviceNotOnline: It is not registered, or its connection is broken.
        """
        binding = self.binding
        if binding is None:
            raise DeviceNotOnline(self.id)
        if not self.is_online:
            raise DeviceNotOnline(self.id, "is registered but does not answer")
        return binding

    # Queries --------------------------------------------------------------------------------

    async def catalog(
        self, *, device_id: str | None = None, progress: Progress | None = None
    ) -> CatalogAnswer:
        """Ask for the catalogue; the device's tree changes only when the answer is complete.

        What an incomplete answer lacks is asked for again, by sub-tree.

        Args:
            device_id: The sub-tree to ask for; the whole when None.
            progress: Told how many items have come, and how many are announced.

        Raises:
            DeviceNotOnline: It is not registered.
            NoAnswer: It took the query and sent nothing.
            RequestRejected: It refused the query.
            AnswerIncomplete: Some items never came; the tree stays as it was.
        """
        is_whole = device_id is None or device_id == self.id
        try:
            answer = await list_catalog(self._commands, self, device_id or self.id, progress)
        except AnswerIncomplete as error:
            if is_whole:
                self.tree.note_partial(error.received, error.expected)
            raise
        if is_whole:
            self._platform.catalogs.arrived(self, answer.items)
        return answer

    async def device_info(self, *, target: str | None = None) -> DeviceInfoResponse:
        """Ask for name, manufacturer, model and firmware.

        Raises:
            DeviceNotOnline: It is not registered.
            NoAnswer: It sent no answer.
            RequestRejected: It refused the query.
            CommandFailed: It answered with ERROR. The other queries raise the same, and
                ``NotSupported`` at once when it turned out before that it has no such thing.
        """
        query = DeviceInfoQuery(sn=self._sn(), device_id=target or self.id)
        answer = await self._commands.ask_one(self, query, DeviceInfoResponse)
        if query.device_id == self.id:
            self.info = answer
            self.capabilities.note_firmware(answer.firmware)
        return answer

    async def device_status(self, *, target: str | None = None) -> DeviceStatusResponse:
        """Ask for its state: online, recording, alarm inputs."""
        query = DeviceStatusQuery(sn=self._sn(), device_id=target or self.id)
        return await self._commands.ask_one(self, query, DeviceStatusResponse)

    async def presets(
        self, *, target: str | None = None, insist: bool = False
    ) -> tuple[Preset, ...]:
        """Ask which presets there are."""
        query = PresetQuery(sn=self._sn(), device_id=target or self.id)
        (answer,) = await self._orders.query(query, PresetResponse, insist=insist)
        return answer.items

    async def home_position(
        self, *, target: str | None = None, insist: bool = False
    ) -> HomePosition | None:
        """Ask where the camera goes when nobody moves it."""
        query = HomePositionQuery(sn=self._sn(), device_id=target or self.id)
        (answer,) = await self._orders.query(query, HomePositionResponse, insist=insist)
        return answer.home_position

    async def cruise_tracks(
        self, *, target: str | None = None, insist: bool = False
    ) -> tuple[CruiseTrack, ...]:
        """Ask which cruise tracks there are."""
        query = CruiseTrackListQuery(sn=self._sn(), device_id=target or self.id)
        (answer,) = await self._orders.query(query, CruiseTrackListResponse, insist=insist)
        return answer.items

    async def cruise_track(
        self, number: int, *, target: str | None = None, insist: bool = False
    ) -> CruiseTrackResponse:
        """Ask for the points of a cruise track, numbered from 0."""
        query = CruiseTrackQuery(sn=self._sn(), device_id=target or self.id, number=number)
        (answer,) = await self._orders.query(query, CruiseTrackResponse, insist=insist)
        return answer

    async def ptz_position(
        self, *, target: str | None = None, insist: bool = False
    ) -> PtzPositionResponse:
        """Ask where the camera looks, in degrees and times."""
        query = PtzPositionQuery(sn=self._sn(), device_id=target or self.id)
        (answer,) = await self._orders.query(query, PtzPositionResponse, insist=insist)
        return answer

    async def sd_cards(
        self, *, target: str | None = None, insist: bool = False
    ) -> tuple[SdCard, ...]:
        """Ask how the memory cards do."""
        query = SdCardStatusQuery(sn=self._sn(), device_id=target or self.id)
        (answer,) = await self._orders.query(query, SdCardStatusResponse, insist=insist)
        return answer.items

    async def configuration(
        self, *blocks: str, target: str | None = None, insist: bool = False
    ) -> ConfigDownloadResponse:
        """Read blocks of the configuration, by the names of the standard.

        Args:
            *blocks: ``BasicParam``, ``VideoParamOpt``, ``OSDConfig``, ...; BasicParam when none.
            target: The channel.
            insist: Ask although it turned out not to answer.

        Returns:
            All that it told, in one; the fields of what it has not told are None or empty.
        """
        names = wanted_blocks(blocks)
        answers = await self._ask_blocks(names, target, insist=insist)
        if lacking_blocks(names, answers):
            self.quirks_seen.note("another block than asked for", self._commands.now())
        for name in untold_blocks(names, answers):
            with contextlib.suppress(NoAnswer, CommandFailed):
                answers += await self._ask_blocks((name,), target, insist=insist)
        return merged_configuration(answers)

    async def _ask_blocks(
        self, names: tuple[str, ...], target: str | None, *, insist: bool
    ) -> list[ConfigDownloadResponse]:
        query = ConfigDownloadQuery(
            sn=self._sn(), device_id=target or self.id, config_type="/".join(names)
        )
        return await self._orders.query(
            query,
            ConfigDownloadResponse,
            insist=insist,
            enough=lambda parts: are_told(names, parts),
        )

    async def records(
        self,
        start: datetime,
        end: datetime,
        *,
        target: str | None = None,
        kind: str = "all",
        progress: Callable[[int, int], None] | None = None,
    ) -> Records:
        """Search for recordings, day by day, and put the answers together.

        Args:
            start: Aware; any zone.
            end: Aware.
            target: The channel.
            kind: ``all``, ``time``, ``alarm`` or ``manual``.
            progress: Told how many parts of the time have been searched, and how many there are.

        Raises:
            ConfigError: The times have no zone, or end before they start.
        """
        search = Search(target=target or self.id, start=start, end=end, kind=kind)
        return await search_records(self._commands, self, search, progress)

    # Controls -------------------------------------------------------------------------------

    async def control(
        self,
        command: PtzCommand,
        *,
        target: str | None = None,
        preset_name: str | None = None,
        cruise_track_name: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Send a command of ``Ptz``: move, focus, presets, cruises, scans, switches.

        The standard has no answer to these but the SIP 200; ``verify`` asks for the position, the
        presets or the cruise afterwards.

        Args:
            command: Such as ``Ptz.up(speed=64)``.
            target: The channel.
            preset_name: With ``Ptz.set_preset``, of 2022.
            cruise_track_name: With the commands of a cruise, of 2022.
            verify: Look whether it had its effect.
            insist: Send it although the device turned out not to do it.

        Raises:
            ConfigError: A number is out of its range.
            DeviceNotOnline: It is not registered; so do all commands.
        """
        return await self._control(
            target,
            verify=verify,
            insist=insist,
            command=command,
            ptz_cmd=encode_ptz(command),
            preset_name=preset_name,
            cruise_track_name=cruise_track_name,
        )

    async def look_at(
        self,
        *,
        pan: float | None = None,
        tilt: float | None = None,
        zoom: float | None = None,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Turn to a position: pan 0 to 360 clockwise, tilt down positive, zoom in times (2022)."""
        return await self._control(
            target,
            verify=verify,
            insist=insist,
            ptz_precise_ctrl=PtzPrecise(pan=pan, tilt=tilt, zoom=zoom),
        )

    async def drag_zoom(
        self,
        box: DragZoom,
        *,
        out: bool = False,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Magnify the box to the window, or with ``out`` shrink the window into the box."""
        return await self._control(
            target,
            verify=verify,
            insist=insist,
            drag_zoom_in=None if out else box,
            drag_zoom_out=box if out else None,
        )

    async def set_home_position(
        self,
        position: HomePosition,
        *,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Set where the camera goes when nobody moves it, or switch that off."""
        return await self._control(target, verify=verify, insist=insist, home_position=position)

    async def track(
        self,
        mode: str,
        *,
        area: DragZoom | None = None,
        panorama: str | None = None,
        target: str | None = None,
        insist: bool = False,
    ) -> Outcome:
        """Follow a target: ``Auto``, ``Manual`` with an area, or ``Stop`` (2022)."""
        if mode == "Manual" and area is None:
            raise ConfigError("TargetTrack Manual needs an area to follow")
        return await self._control(
            target,
            verify=False,
            insist=insist,
            target_track=mode,
            target_area=area,
            device_id2=panorama,
        )

    async def record(
        self,
        *,
        on: bool = True,
        stream_number: int | None = None,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Start to record at the device, or stop."""
        return await self._control(
            target,
            verify=verify,
            insist=insist,
            record_cmd="Record" if on else "StopRecord",
            stream_number=stream_number,
        )

    async def guard(
        self,
        *,
        on: bool = True,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Set the guard, or reset it. Some cameras tell alarms under guard alone; see ``arm``."""
        return await self._control(
            target, verify=verify, insist=insist, guard_cmd="SetGuard" if on else "ResetGuard"
        )

    async def reset_alarm(
        self,
        *,
        method: str | None = None,
        alarm_type: str | None = None,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Reset an alarm: until then a device tells no further one of its kind (A.2.5.3)."""
        return await self._control(
            target,
            verify=verify,
            insist=insist,
            alarm_cmd="ResetAlarm",
            alarm_method=method,
            alarm_type=alarm_type,
        )

    async def force_key_frame(self, *, target: str | None = None, insist: bool = False) -> Outcome:
        """Ask for a key frame at once."""
        return await self._control(target, verify=False, insist=insist, i_frame_cmd="Send")

    async def reboot(self, *, target: str | None = None, insist: bool = False) -> Outcome:
        """Restart the device."""
        return await self._control(target, verify=False, insist=insist, tele_boot="Boot")

    async def format_sd_card(
        self,
        card: int = 0,
        *,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Format a memory card, numbered from 1; 0 is all of them (2022)."""
        return await self._control(target, verify=verify, insist=insist, format_sd_card=card)

    async def upgrade(
        self,
        firmware: str,
        url: str,
        *,
        manufacturer: str,
        session_id: str | None = None,
        target: str | None = None,
        insist: bool = False,
    ) -> Outcome:
        """Let it fetch and install a firmware (2022).

        The end comes as the event ``Notice`` with a DeviceUpgradeResult of that session, after it
        has registered again.
        """
        order = _Upgrade(
            firmware=firmware,
            file_url=url,
            manufacturer=manufacturer,
            session_id=session_id or secrets.token_hex(16),
        )
        return await self._control(target, verify=False, insist=insist, device_upgrade=order)

    async def request_position(
        self, *, interval: int | None = None, target: str | None = None
    ) -> Outcome:
        """Ask a mobile device for its position by MESSAGE; it comes as the event ``Position``."""
        query = MobilePositionQuery(sn=self._sn(), device_id=target or self.id, interval=interval)
        rule = Rule(element="MobilePosition", since=MobilePositionQuery.since)
        return await self._orders.order(query, rule, check=None, verify=False, insist=False)

    # Configuration --------------------------------------------------------------------------

    async def configure(
        self,
        *,
        target: str | None = None,
        verify: bool = False,
        insist: bool = False,
        **block: Unpack[ConfigBlock],
    ) -> Outcome:
        """Set one block of the configuration, named as in ``DeviceConfig``.

        ``await camera.configure(osd_config=OsdConfig(text_enable=1))``; with ``verify`` the block
        is read back and compared.

        Raises:
            ConfigError: Not exactly one block, or one that there is not.
        """
        if len(block) != 1 or not block.keys() <= BLOCKS.keys():
            raise ConfigError(
                f"configure takes one block of {', '.join(BLOCKS)}; got {list(block)}"
            )
        # Dahua takes the name and registration under the device's code alone (spec 09, Q31).
        by_device = "basic_param" in block and self.quirks.config_target == "device"
        code = self.id if by_device else target or self.id
        message = DeviceConfig(sn=self._sn(), device_id=code, **block)
        field, rule = rule_of(message, BLOCKS)
        check = check_of_config(rule.element, message, field)
        return await self._orders.order(message, rule, check=check, verify=verify, insist=insist)

    async def take_snapshots(
        self, config: SnapShotConfig, *, target: str | None = None, insist: bool = False
    ) -> Outcome:
        """Let it take pictures and upload them (2022).

        The end comes as the event ``Notice`` with an UploadSnapShotFinished of that session.
        """
        return await self.configure(snapshot_config=config, target=target, insist=insist)

    # Alarms and positions -------------------------------------------------------------------

    async def arm(self, *, target: str | None = None, resets: bool = True) -> Armed:
        """Make it tell its alarms, and keep it so while the platform runs.

        Sets the guard, which single cameras need, and subscribes; both again when the device comes
        back. With ``resets`` each alarm that was kept is reset, for until then it tells no other.
        """
        return await self._platform.arming.arm(self, target or self.id, resets=resets)

    async def disarm(self, *, target: str | None = None) -> Outcome:
        """Undo ``arm``: end the subscription, reset the guard."""
        return await self._platform.arming.disarm(self, target or self.id)

    async def subscribe_alarms(self, *, target: str | None = None) -> Subscription:
        """Subscribe to alarms; returns when the device has answered, and lasts until cancelled."""
        return await self._platform.subscriptions.want(self, "alarm", target or self.id)

    async def subscribe_position(
        self, interval: int = 5, *, target: str | None = None
    ) -> Subscription:
        """Subscribe to the position of a mobile device, told every ``interval`` seconds."""
        wish = self._platform.subscriptions.want
        return await wish(self, "position", target or self.id, interval=interval)

    async def subscribe_ptz_position(self, *, target: str | None = None) -> Subscription:
        """Subscribe to where a camera looks (2022)."""
        return await self._platform.subscriptions.want(self, "ptz-position", target or self.id)

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; the device is told when it is there."""
        await self._platform.subscriptions.cancel(subscription)

    async def _control(
        self,
        target: str | None,
        *,
        verify: bool,
        insist: bool,
        command: PtzCommand | None = None,
        **fields: Any,
    ) -> Outcome:
        message = DeviceControl(sn=self._sn(), device_id=target or self.id, **fields)
        _, rule = rule_of(message, CONTROLS)
        check = check_of_control(message, command) if verify else None
        return await self._orders.order(message, rule, check=check, verify=verify, insist=insist)

    def _sn(self) -> str:
        return self._commands.next_sn()

    @property
    def _commands(self) -> Commands:
        return self._platform.commands
