"""Settings: the blocks of a device's configuration by name, and the answers put into one."""

from __future__ import annotations

from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..manscdp.config import (
        AlarmReport,
        BasicParam,
        OsdConfig,
        PictureMask,
        SnapShotConfig,
        SvacDecodeConfig,
        SvacEncodeConfig,
        VideoAlarmRecord,
        VideoParam,
        VideoRecordPlan,
    )
    from ..manscdp.device_config import ConfigDownloadResponse

READABLE: Mapping[str, str] = MappingProxyType(
    {
        "BasicParam": "basic_param",
        "VideoParamOpt": "video_param_opt",
        "SVACEncodeConfig": "svac_encode_config",
        "SVACDecodeConfig": "svac_decode_config",
        "VideoParamAttribute": "video_param_attribute",
        "VideoRecordPlan": "video_record_plan",
        "VideoAlarmRecord": "video_alarm_record",
        "PictureMask": "picture_mask",
        "FrameMirror": "frame_mirror",
        "AlarmReport": "alarm_report",
        "OSDConfig": "osd_config",
        "SnapShotConfig": "snapshot_config",
    }
)
"""What a ConfigDownload may ask for, and the field that it comes in.

Source: GB/T 28181-2022 A.2.4.7.
"""


class ConfigBlock(TypedDict, total=False):
    """What ``configure`` sets: exactly one of these.

    Source: GB/T 28181-2022 A.2.3.2.
    """

    basic_param: BasicParam
    svac_encode_config: SvacEncodeConfig
    svac_decode_config: SvacDecodeConfig
    video_param_attribute: tuple[VideoParam, ...]
    video_record_plan: VideoRecordPlan
    video_alarm_record: VideoAlarmRecord
    picture_mask: PictureMask
    frame_mirror: int
    alarm_report: AlarmReport
    osd_config: OsdConfig
    snapshot_config: SnapShotConfig


def wanted_blocks(blocks: Sequence[str]) -> tuple[str, ...]:
    """Check names of blocks; BasicParam when there are none.

    Raises:
        ConfigError: A name is none of the standard's.
    """
    unknown = [name for name in blocks if name not in READABLE]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no block; there are {', '.join(READABLE)}")
    return tuple(dict.fromkeys(blocks)) or ("BasicParam",)


def are_told(blocks: Sequence[str], answers: Sequence[object]) -> bool:
    """Whether the answers so far are all: one for each block, or fewer with every block in them."""
    return len(answers) >= len(blocks) or all(
        any(getattr(answer, READABLE[name], None) not in (None, ()) for answer in answers)
        for name in blocks
    )


def untold_blocks(
    blocks: Sequence[str], answers: Sequence[ConfigDownloadResponse]
) -> tuple[str, ...]:
    """Which of several blocks to ask for by themselves: fewer answers came than were asked for."""
    if len(answers) >= len(blocks):
        return ()  # an answer for each; one may come under another name than asked (spec 09, Q30)
    return lacking_blocks(blocks, answers)


def lacking_blocks(
    blocks: Sequence[str], answers: Sequence[ConfigDownloadResponse]
) -> tuple[str, ...]:
    """Which of several blocks no answer has."""
    return tuple(
        name
        for name in blocks
        if all(getattr(answer, READABLE[name]) in (None, ()) for answer in answers)
    )


def merged_configuration(answers: Sequence[ConfigDownloadResponse]) -> ConfigDownloadResponse:
    """Put several answers into one: each has one block, or several."""
    whole = answers[0]
    for answer in answers[1:]:
        said: dict[str, Any] = {
            one.name: getattr(answer, one.name)
            for one in fields(answer)
            if getattr(answer, one.name) not in (None, ())
        }
        whole = replace(whole, **said)
    return whole
