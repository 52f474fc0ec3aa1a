"""Each reported habit of devices and platforms, and what shows that it is survived.

``F`` lines are those of the field experience, ``S`` lines those of the reference's table of quirks.
A word is a habit of ``gb28181.habits``, shown by its profiles in ``test_profiles``; the rest are
tests, by file below ``tests`` and name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pytest

from gb28181.habits import profiles

TESTS = Path(__file__).parents[1]

_ROOT = "gb28181"

F: Mapping[str, str] = MappingProxyType(
    {
        "1": "notify_from test_inbox::test_a_message_under_another_name_is_known_by_its_address",
        "2": "raw_address "
        "manscdp/test_repair::test_broken_text_is_kept_whole_and_the_repair_reported",
        "3": "cuts_catalog corrupts_catalog",
        "4": "loses_end_tags bare_lf "
        "commands/test_records::test_a_device_whose_long_answers_are_broken_is_asked_by_half_days",
        "5": "status_words parental parent_id",
        "6": "date_style manscdp/test_values::test_times_are_read_in_all_forms_that_devices_write",
        "7": "late_duplicate "
        "test_catalog::test_the_state_of_a_stranger_is_counted_and_adds_nothing",
        "8": "writes_charset declares_charset",
        "9": "position_list test_inbox::test_positions_of_both_editions_are_events",
        "10": "register_flood registers_once connection_per_message",
        "11": "silent_after_register",
        "12": "rebinds_every "
        "test_registrar::test_a_broken_connection_has_a_grace_to_register_again",
        "13": "registers_once test_registrar::test_a_looser_rule_is_the_quirk_of_a_device "
        "test_registration::test_a_refused_heartbeat_registers_at_once",
        "14": "heartbeat_parameters test_registrar::test_announced_heartbeats_are_clamped",
        "15": "config_needs_device silent_commands "
        "commands/test_orders::test_the_registration_is_set_at_the_device_whatever_the_channel",
        "16": "config_answer commands/test_orders::test_blocks_are_gathered_however_they_come",
        "17": "record_needs_type "
        "wire/test_signalling::test_a_search_without_a_type_is_not_answered",
        "18": "home_position_answer silent_commands "
        "commands/test_orders::test_a_home_position_that_is_accepted_and_not_executed_is_told",
        "19": "silent_commands "
        "commands/test_orders::test_a_query_that_is_answered_with_error_is_not_asked_again",
        "20": "arms_first wire/test_signalling::test_no_alarm_before_the_guard_is_set "
        "test_arming::test_an_armed_camera_tells_one_alarm_after_another",
        "21": "attribute_names",
        "22": "invite_refusals test_identifiers::test_the_type_digits_tell_the_kind",
        "23": "largest_request wire/test_signalling::test_what_is_too_large_is_lost",
        "24": "test_registrar::test_the_date_stands_only_in_a_success",
        "25": "media/test_session::test_the_invite_says_what_the_standard_asks",
        "26": "answer_filesize media/test_session::test_an_answer_that_is_no_sdp_ends_with_bye",
        "27": "rtp_ssrc media_before_ack",
        "28": "answer_y",
        "29": "invite_refusals "
        "sessions/test_sessions::test_a_dialog_left_standing_is_ended_when_the_device_is_busy",
        "30": "options_every test_registration::test_the_register_has_the_form_of_the_standard",
        "31": "test_registration::test_a_refusal_is_followed_by_a_pause_and_a_fresh_call_id",
        "32": "answer_delay test_cascade::test_media_is_relayed_over_any_transport",
        "33": "ignores_speed "
        "recorded/test_playback::test_a_device_that_ignores_the_speed_is_found_out "
        "recorded/test_playback::test_a_device_that_ends_a_long_pause_is_told "
        "recorded/test_playback::test_a_device_that_plays_past_the_end_is_stopped",
        "34": "sessions/test_talk::test_habits_of_loudspeakers",
        "35": "sessions/test_talk::test_habits_of_loudspeakers "
        "sessions/test_talk::test_a_device_that_serves_its_own_id_alone_is_asked_by_it",
        "36": "answer_udp sessions/test_talk::test_a_loudspeaker_that_hangs_up_is_told_apart",
        "37": "sessions/test_talk::test_both_sides_hear_each_other_within_300_ms",
        "38": "raw_audio media/test_receiver::test_raw_audio_beside_a_program_stream_becomes_units",
        "39": "stream_map",
        "40": "private_packets payload_type framing",
        "41": "framing starts_in_packet loses_stream_bytes",
        "42": "sets_everywhere announces_audio stream_map",
        "43": "rtp_ssrc marker restarts_every pes_length",
        "44": "restarts_every "
        "media/test_admission::test_only_the_matching_packets_of_a_mixed_batch_are_let_in",
    }
)

S: Mapping[str, str] = MappingProxyType(
    {
        "1": "contact_host",
        "2": "omits_rport",
        "3": "route_header",
        "4": "register_flood",
        "5": "test_platform::test_a_wrong_password_is_refused_and_told_once",
        "5b": "test_registration::test_a_device_registers_by_answering_the_challenge",
        "5c": "early_to_tag",
        "6": "test_registration::test_a_refusal_is_followed_by_a_pause_and_a_fresh_call_id",
        "7": "registers_once",
        "8": "test_registrar::test_the_date_stands_only_in_a_success",
        "9": "content_type",
        "10": "notify_from",
        "11": "answer_contact",
        "12": "test_registration::test_the_register_has_the_form_of_the_standard",
        "13": "connection_per_message",
        "14": "omits_trying answer_delay",
        "15": "bye_status wire/test_signalling::test_a_bye_is_answered_as_told",
        "16": "refuses_subscribe",
        "17": "test_subscriptions::"
        "test_a_device_that_answers_200_and_then_sends_messages_is_notifying",
        "18": "heartbeat_parameters",
        "19": "keepalive_stretch",
        "20": "writes_charset manscdp/test_charset::test_gb_bodies_are_read_as_gb18030",
        "21": "writes_charset declares_charset",
        "22": "raw_address",
        "23": "parental",
        "24": "status_words",
        "25": "parent_id",
        "26": "civil_code",
        "27": "lower_info wire/test_bodies::test_a_body_is_bent",
        "28": "date_style",
        "29": "test_inbox::test_the_position_of_a_device_with_one_channel_is_that_channels",
        "30": "config_answer",
        "31": "config_needs_device "
        "wire/test_signalling::test_a_configuration_for_a_channel_is_not_answered",
        "32": "record_needs_type",
        "33": "sum_num_surplus num_blanks",
        "34": "late_duplicate",
        "35": "num_surplus "
        "commands/test_listing::test_more_items_than_announced_and_duplicates_are_taken_and_flagged",
        "36": "silent_commands "
        "test_inbox::test_an_answer_where_the_standard_has_none_is_seen_and_harmless",
        "36b": "test_platform::test_an_alarm_is_acknowledged_when_it_was_kept",
        "36c": "commands/test_orders::test_what_the_edition_lacks_is_not_sent_unless_insisted_on",
        "37": "commands/test_orders::test_an_outcome_says_what_the_standard_lets_a_device_say",
        "40": "answer_y",
        "41": "answer_y",
        "42": "rtp_ssrc",
        "43": "rtp_ssrc",
        "44": "answer_y",
        "45": "answer_payloads",
        "46": "media_before_ack",
        "47": "answer_udp sessions/test_sessions::test_the_other_transport_is_tried_and_remembered",
        "48": "answer_host media/test_session::test_media_is_expected_from_where_it_can_come",
        "49": "sessions/test_sessions::test_a_stream_is_named_as_the_family_does",
        "50": "test_sdp::test_times_are_unix_seconds_also_when_sent_as_ntp",
        "51": "sessions/test_talk::test_both_sides_hear_each_other_within_300_ms",
        "52": "sessions/test_talk::test_habits_of_loudspeakers",
        "53": "sessions/test_talk::test_habits_of_loudspeakers",
        "54": "sessions/test_talk::test_habits_of_loudspeakers",
        "54b": "sessions/test_talk::test_a_codec_that_we_cannot_send_gets_488",
        "55": "recorded/test_playback::test_silence_at_the_end_ends_it",
        "56": "ignores_speed wire/test_signalling::test_a_speed_is_taken_and_ignored",
        "57": "media/test_ports::test_a_released_port_rests_before_it_is_leased_again",
        "58": "test_cascade::test_one_camera_stream_serves_several_viewers_above",
        "60": "stream_map",
        "61": "stream_map",
        "62": "stream_map",
        "63": "bare_pack",
        "64": "private_packets",
        "65": "pes_length",
        "66": "announces_audio",
        "67": "wire/test_media::test_a_map_that_announces_sound_delays_no_picture",
        "68": "sets_rarely",
        "69": "loses_stream_bytes",
        "70": "framing",
        "71": "same_timestamp omits_stamps",
        "72": "payload_type",
        "73": "raw_audio",
        "74": "marker",
    }
)

ALL = [("F", line, shown) for line, shown in F.items()] + [
    ("S", line, shown) for line, shown in S.items()
]


@cache
def names_in(file: str) -> frozenset[str]:
    text = (TESTS / _ROOT / f"{file}.py").read_text("utf-8")
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))


@pytest.mark.parametrize(("table", "line", "shown"), ALL, ids=lambda value: str(value)[:12])
def test_every_line_is_shown_by_what_there_is(table: str, line: str, shown: str) -> None:
    habits = {habit for one in profiles().values() for habit in one.habits.names}
    assert shown.split()
    for word in shown.split():
        file, _, name = word.partition("::")
        assert (name in names_in(file)) if name else (word in habits), word


def test_no_line_is_left_out() -> None:
    assert list(F) == [str(number) for number in range(1, 45)]
    numbers = [int(re.sub(r"\D", "", line)) for line in S]
    assert sorted(set(numbers)) == [*range(1, 38), *range(40, 59), *range(60, 75)]
    assert {line for line in S if not line.isdigit()} == {"5b", "5c", "36b", "36c", "54b"}
