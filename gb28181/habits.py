"""Habits: what a simulated device does otherwise than the standard, and the families that do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from .edition import Edition


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """The deviations of one simulated device; the defaults are those of one that has none.

    ``F`` marks a line of the field experience, ``S`` a line of the reference's table of quirks;
    both number their lines ``Q``.
    """

    # Headers ----------------------------------------------------------------------------------

    contact_host: str | None = None
    """Via and Contact of REGISTER name this address, not the one that packets come from. S Q1."""
    omits_rport: bool = False
    """Via has no ``rport``. S Q2."""
    route_header: bool = False
    """REGISTER carries a ``Route``. S Q3."""
    notify_from: str | None = None
    """Notify messages are sent From this id, which is not the device's. F Q1, S Q10."""
    early_to_tag: bool = False
    """Initial requests have a To tag. S Q5c."""
    content_type: str | None = None
    """What MESSAGE calls its body. S Q9."""
    date_style: str | None = None
    """How times in bodies are written: ``blank``, ``short``, ``zone`` or ``ms``. F Q6, S Q28."""

    # Registration and heartbeats ----------------------------------------------------------------

    register_flood: float = 0.0
    """So many surplus REGISTERs a second. F Q10, S Q4."""
    silent_after_register: bool = False
    """Sends no heartbeat. F Q11."""
    keepalive_stretch: float = 1.0
    """Heartbeats come at this multiple of the interval that was set. S Q19."""
    registers_once: bool = False
    """Never registers again, whatever a heartbeat is answered, and when time runs out. F Q10,
    F Q13, S Q7."""
    rebinds_every: float = 0.0
    """Seconds after which UDP goes on from another port: a mobile network. F Q12."""
    connection_per_message: bool = False
    """Over TCP every MESSAGE goes through a connection of its own. F Q10, S Q13."""
    options_every: float = 0.0
    """Seconds between OPTIONS probes. F Q30."""
    noise_every: float = 0.0
    """Seconds between datagrams on the SIP port that are no SIP."""
    heartbeat_parameters: str | None = None
    """What HeartBeatInterval and HeartBeatCount are reported as, ``0``. F Q14, S Q18."""

    # Bodies -------------------------------------------------------------------------------------

    writes_charset: str | None = None
    """Bodies are in this charset, whatever they declare. F Q8, S Q20, S Q21."""
    declares_charset: str | None = None
    """Bodies declare this charset; empty: they have no declaration. F Q8, S Q21."""
    bare_lf: bool = False
    """Lines of a body end with LF alone, and a blank line stands before it. F Q4."""
    raw_address: str | None = None
    """``Address`` holds this, not escaped, with control bytes. F Q2, S Q22."""
    loses_end_tags: bool = False
    """Large answers lack an end tag. F Q4."""
    doubles_end_tags: bool = False
    """The end tag of a list is written twice."""
    attribute_names: bool = False
    """CmdType and SN are attributes of the root. F Q21."""
    status_words: tuple[str, str] | None = None
    """What stands for ON and OFF. F Q5, S Q24."""
    parental: str | None = None
    """What ``Parental`` is. F Q5, S Q23."""
    parent_id: str | None = None
    """A prefix of every ParentID, such as ``rubbish/``. F Q5, S Q25."""
    civil_code: str | None = None
    """What ``CivilCode`` is. S Q26."""
    lower_info: bool = False
    """``info`` is written for ``Info``. S Q27."""
    num_blanks: bool = False
    """``Num`` and ``SumNum`` have blanks around them. S Q33."""
    num_surplus: int = 0
    """``Num`` is so much more than there are items."""
    late_duplicate: bool = False
    """After a catalogue one item comes again with the SN before it. F Q7, S Q34."""
    sum_num_surplus: int = 0
    """``SumNum`` of a search for recordings counts so many more than are sent. S Q33, S Q35."""
    position_list: bool = False
    """MobilePosition has the list form of 2022 whoever asks. F Q9."""
    config_answer: str | None = None
    """ConfigDownload is answered with this element, whatever was asked. F Q16, S Q30."""
    home_position_answer: bool = False
    """A HomePositionQuery is answered with CmdType HomePosition. F Q18."""

    # Which commands it serves -------------------------------------------------------------------

    silent_commands: frozenset[str] = frozenset()
    """CmdTypes that are answered 200 and nothing else. F Q15, F Q18, F Q19, S Q36."""
    record_needs_type: bool = False
    """A RecordInfo query without Type is not answered. F Q17, S Q32."""
    config_needs_device: bool = False
    """A configuration for a channel makes it log out. F Q15, S Q31."""
    arms_first: bool = False
    """No alarm is sent before SetGuard came. F Q20."""
    largest_request: int = 0
    """Requests above so many bytes are lost. F Q23."""
    refuses_subscribe: int = 0
    """SUBSCRIBE is answered with this. S Q16."""
    ignores_speed: bool = False
    """INFO with Scale is answered 200 and ignored. F Q33, S Q56."""
    invite_refusals: tuple[str, ...] = ()
    """The first INVITEs are answered with these: ``486 Busy Here``. F Q22, F Q29."""

    # Datagrams ----------------------------------------------------------------------------------

    cuts_catalog: bool = False
    """The first large answer is cut over two datagrams, of which the second is no SIP. F Q3."""
    corrupts_catalog: bool = False
    """Two bytes in the middle of the first large answer are wrong. F Q3."""

    # Sessions -----------------------------------------------------------------------------------

    omits_trying: bool = False
    """No provisional answer. S Q14."""
    answer_delay: float = 0.0
    """Seconds from INVITE to its 200. S Q14, F Q32."""
    answer_contact: str | None = None
    """The Contact of the 200 to INVITE; empty: it has none. S Q11."""
    answer_y: str | None = None
    """``y=`` of the answer: empty for none, ``0000000000``, nine digits, or ``own`` for another.
    F Q28, S Q40, S Q41, S Q44."""
    answer_host: str | None = None
    """``c=`` of the answer. S Q48."""
    answer_payloads: bool = False
    """The answer lists more payload types than it sends. S Q45."""
    answer_udp: bool = False
    """TCP that was asked for is answered ``RTP/AVP``: it knows UDP alone. F Q36, S Q47."""
    answer_filesize: bool = False
    """The answer has ``a=filesize:-1``. F Q26."""
    media_before_ack: bool = False
    """Media starts with the 200, before the ACK. F Q27, S Q46."""
    bye_status: int = 200
    """How BYE is answered. S Q15."""

    # RTP ----------------------------------------------------------------------------------------

    rtp_ssrc: str | None = None
    """The SSRC: ``zero``, ``own``, or ``group`` for another with each group of pictures. F Q27,
    F Q43, S Q42, S Q43."""
    payload_type: int | None = None
    """The payload type of the packets. F Q40, S Q72."""
    marker: str | None = None
    """``never`` or ``always``. S Q74."""
    same_timestamp: bool = False
    """The RTP timestamp never changes. S Q71."""
    restarts_every: int = 0
    """Frames after which sequence and clock begin anew. F Q43, F Q44."""
    raw_audio: bool = False
    """Audio comes as packets of payload type 8 beside PS video. F Q38, S Q73."""
    framing: str | None = None
    """Over TCP: ``rtsp`` for ``$`` frames, ``ehome`` for 256 bytes before the first. F Q40, F Q41,
    S Q70."""
    starts_in_packet: bool = False
    """The TCP stream begins in the middle of a packet. F Q41."""
    loses_stream_bytes: bool = False
    """The TCP stream lacks bytes now and then. F Q41, S Q69."""

    # Program stream -----------------------------------------------------------------------------

    stream_map: str | None = None
    """The map: ``none``, ``once``, ``crc``, ``length``, or ``type`` for the wrong codec. F Q39,
    F Q42, S Q60, S Q61, S Q62."""
    bare_pack: bool = False
    """Pack headers are a bare start code. S Q63."""
    private_packets: bool = False
    """0xBD packets stand between those of video. F Q40, S Q64."""
    pes_length: str | None = None
    """``zero``, or ``wrapped`` for one PES packet of more than 64 KiB. F Q43, S Q65."""
    announces_audio: bool = False
    """The map announces audio that never comes. F Q42, S Q66."""
    omits_stamps: bool = False
    """PES packets have no PTS. S Q71."""
    sets_everywhere: bool = False
    """SPS and PPS stand before every frame. F Q42."""
    sets_rarely: int = 0
    """SPS and PPS stand before each so many-th key frame only. S Q68."""

    @property
    def names(self) -> tuple[str, ...]:
        """The habits that it has, by the names of the fields."""
        return tuple(one.name for one in fields(self) if getattr(self, one.name) != one.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One family of devices, as the simulator shows it."""

    manufacturer: str
    model: str
    name: str = "Camera"
    firmware: str = "V5.7.3"
    type_code: str = "132"
    """Digits 11 to 13 of its id."""
    edition: Edition = Edition.GB2016
    transport: str = "udp"
    """What it is usually set to."""
    media_mode: str = "udp"
    """How the platform should take its media."""
    key_size: int = 4000
    """Bytes of a synthetic key frame."""
    habits: Habits = Habits()


def profiles() -> Mapping[str, Profile]:
    """Return the known families by name."""
    return _PROFILES


def profile(name: str) -> Profile:
    """Return one family.

    Raises:
        KeyError: There is none of that name; the text names those that there are.
    """
    try:
        return _PROFILES[name]
    except KeyError:
        raise KeyError(f"profile {name!r} is none of {', '.join(_PROFILES)}") from None


_HIKVISION = Habits(
    notify_from="34020000001320009999",
    route_header=True,
    raw_address="门卫 & 传达室 <3\x01",
    status_words=("OK", "OFFLINE"),
    parental="65535",
    parent_id="34020000002160000001/",
    rtp_ssrc="own",
    private_packets=True,
    arms_first=True,
    bye_status=481,
    answer_filesize=True,
)
_DAHUA = Habits(
    answer_y="",
    rtp_ssrc="zero",
    media_before_ack=True,
    stream_map="crc",
    raw_audio=True,
    record_needs_type=True,
    config_needs_device=True,
    home_position_answer=True,
    silent_commands=frozenset({"HomePosition", "CruiseTrackListQuery", "CruiseTrackQuery"}),
)

_PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "plain": Profile(manufacturer="gb28181", model="simulator", firmware="0.1.0"),
        "plain-2011": Profile(
            manufacturer="gb28181", model="simulator", edition=Edition.GB2011, firmware="0.1.0"
        ),
        "plain-2016": Profile(manufacturer="gb28181", model="simulator", firmware="0.1.0"),
        "plain-2022": Profile(
            manufacturer="gb28181", model="simulator", edition=Edition.GB2022, firmware="0.1.0"
        ),
        "hikvision-ipc": Profile(
            manufacturer="Hikvision", model="DS-2CD7027", firmware="V5.5.82", habits=_HIKVISION
        ),
        "hikvision-nvr": Profile(
            name="Embedded Net DVR",
            manufacturer="Hikvision",
            model="DS-7716N-E4",
            type_code="118",
            habits=Habits(
                route_header=True,
                status_words=("ONLINE", "OFFLINE"),
                parental="65535",
                cuts_catalog=True,
                loses_end_tags=True,
                late_duplicate=True,
                ignores_speed=True,
                invite_refusals=("503 Service Unavailable;preview links' num limit",),
                bare_pack=True,
                framing="ehome",
            ),
            media_mode="tcp-passive",
        ),
        "hikvision-2022": Profile(
            manufacturer="Hikvision",
            model="DS-2SE3C144",
            edition=Edition.GB2022,
            habits=Habits(
                silent_after_register=True,
                position_list=True,
                rtp_ssrc="own",
                payload_type=69,
                silent_commands=frozenset({"PTZPosition", "PTZPreciseCtrl"}),
                corrupts_catalog=True,
            ),
        ),
        "dahua-ipc": Profile(
            name="IPC", manufacturer="Dahua", model="DH-IPC-HFW", firmware="2.800", habits=_DAHUA
        ),
        "dahua-nvr": Profile(
            name="NVR",
            manufacturer="Dahua",
            model="NVR",
            firmware="4.0",
            type_code="118",
            habits=Habits(
                record_needs_type=True,
                config_needs_device=True,
                media_before_ack=True,
                rtp_ssrc="zero",
                date_style="blank",
                invite_refusals=("400 Bad Request",),
                num_blanks=True,
            ),
            media_mode="tcp-passive",
        ),
        "uniview": Profile(
            name="UNV-IPC",
            manufacturer="UNIVIEW",
            model="IPC-B2",
            firmware="B3220",
            habits=Habits(
                config_answer="VideoParamOpt",
                config_needs_device=True,
                silent_commands=frozenset({"DeviceConfig"}),
                writes_charset="UTF-8",
                rtp_ssrc="group",
                answer_delay=12.0,
                omits_trying=True,
            ),
        ),
        "huawei-nvr": Profile(
            name="NVR800",
            manufacturer="Huawei",
            model="NVR800",
            type_code="118",
            habits=Habits(
                bare_lf=True,
                registers_once=True,
                connection_per_message=True,
                civil_code="null",
                num_surplus=1,
                restarts_every=6,
                framing="rtsp",
            ),
            transport="tcp",
            media_mode="tcp-passive",
        ),
        "tp-link": Profile(
            name="TL-IPC",
            manufacturer="TP-LINK",
            model="TL-IPC43",
            habits=Habits(
                content_type="APPLICATION/MANSCDP+XML",
                answer_payloads=True,
                announces_audio=True,
                sets_everywhere=True,
                answer_contact="<sip:34020000001320000001@192.168.1.60:5060>",
                early_to_tag=True,
            ),
        ),
        "mercury": Profile(
            name="MIPC",
            manufacturer="MERCURY",
            model="MIPC2",
            habits=Habits(
                omits_rport=True,
                answer_contact="",
                refuses_subscribe=489,
                largest_request=4000,
                answer_y="340200001",
                marker="always",
            ),
        ),
        "tiandy": Profile(
            name="TC-NVR",
            manufacturer="Tiandy",
            model="TC-C34",
            firmware="Tiandy Tech SIP Agent",
            habits=Habits(
                late_duplicate=True,
                doubles_end_tags=True,
                stream_map="length",
                pes_length="wrapped",
                lower_info=True,
                date_style="zone",
            ),
            key_size=70_000,
        ),
        "4g-camera": Profile(
            manufacturer="Forward",
            model="4G",
            habits=Habits(
                contact_host="192.168.8.100",
                rebinds_every=150.0,
                keepalive_stretch=1.09,
                noise_every=45.0,
                answer_host="0.0.0.0",
                heartbeat_parameters="0",
                sets_rarely=4,
                stream_map="once",
            ),
        ),
        "android": Profile(
            name="手机",
            manufacturer="Android",
            model="UVP-sim",
            habits=Habits(
                writes_charset="UTF-8",
                declares_charset="",
                attribute_names=True,
                date_style="ms",
                same_timestamp=True,
                stream_map="none",
                answer_y="0000000000",
            ),
        ),
        "budget-camera": Profile(
            manufacturer="Generic",
            model="IPC",
            habits=Habits(
                register_flood=0.5,
                omits_stamps=True,
                pes_length="zero",
                marker="never",
                stream_map="type",
                date_style="short",
                options_every=30.0,
                answer_y="own",
                answer_udp=True,
            ),
            media_mode="tcp-passive",
        ),
        "body-camera": Profile(
            name="执法仪",
            manufacturer="Bodycam",
            model="BC-1",
            habits=Habits(starts_in_packet=True, loses_stream_bytes=True, sum_num_surplus=2),
            media_mode="tcp-passive",
        ),
    }
)
