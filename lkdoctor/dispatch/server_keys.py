"""The keys of livekit.yaml by server version: livekit-server refuses to start over a key that it does not know.

Every line of the tables was asked of livekit-server 1.8.4, 1.9.12, 1.11.0 and 1.13.5 (`tests/live/test_server_keys.py`): its
own message lists what it refused. Two levels are held; what stands deeper is not judged. Between two of these versions,
where none was run, a key may be there or not, and nothing is said.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from lkdoctor.dispatch import rules

OLDEST: Final[rules.Version] = (1, 8, 4)
NEWEST: Final[rules.Version] = (1, 13, 5)

#: Section ("" is the top) to its keys, in all four versions.
_ALWAYS: Final[dict[str, str]] = {
    "": (
        "audio bind_addresses development ingress key_file keys limit log_level logging metric node_selector "
        "port prometheus prometheus_port psrpc redis region room rtc signal_relay sip turn video webhook"
    ),
    "audio": ("active_level active_red_encoding enable_loss_proxying min_percentile smooth_intervals update_interval"),
    "ingress": ("rtmp_base_url whip_base_url"),
    "limit": (
        "bytes_per_sec max_attributes_size max_metadata_size max_participant_identity_length "
        "max_participant_name_length max_room_name_length num_tracks subscription_limit_audio "
        "subscription_limit_video"
    ),
    "logging": (
        "component_levels item_sample_initial item_sample_interval item_sample_seconds json level pion_level "
        "sample sample_initial sample_interval"
    ),
    "metric": ("collector reporter timestamper_config"),
    "node_selector": ("cpu_load_limit kind regions sort_by sysload_limit"),
    "prometheus": ("password port username"),
    "psrpc": ("backoff buffer_size max_attempts timeout"),
    "redis": (
        "address cluster_addresses db dial_timeout max_redirects password pool_size pool_timeout read_timeout "
        "sentinel_addresses sentinel_master_name sentinel_password sentinel_username tls use_tls username "
        "write_timeout"
    ),
    "room": (
        "auto_create create_room_attempts create_room_timeout departure_timeout empty_timeout "
        "enable_remote_unmute enabled_codecs max_metadata_size max_participant_identity_length "
        "max_participants max_room_name_length playout_delay room_configurations sync_streams"
    ),
    "rtc": (
        "allow_tcp_fallback batch_io congestion_control data_channel_max_buffered_amount "
        "datachannel_slow_threshold enable_loopback_candidate external_ip_only force_tcp forward_stats "
        "interfaces ips node_ip packet_buffer_size packet_buffer_size_audio packet_buffer_size_video "
        "pli_throttle port_range_end port_range_start reconnect_on_data_channel_error "
        "reconnect_on_publication_error reconnect_on_subscription_error strict_acks stun_servers tcp_port "
        "turn_servers udp_port use_external_ip use_ice_lite use_mdns"
    ),
    "signal_relay": ("connect_attempts max_retry_interval min_retry_interval retry_timeout stream_buffer_size"),
    "turn": ("cert_file domain enabled external_tls key_file relay_range_end relay_range_start tls_port udp_port"),
    "video": ("dynacast_pause_delay stream_tracker_manager"),
    "webhook": ("api_key urls"),
}
#: (last version that refuses, first version that reads) to the keys.
_SINCE: Final[dict[tuple[rules.Version, rules.Version], str]] = {
    # refused by 1.8.4, read by 1.9.12
    ((1, 8, 4), (1, 9, 12)): (
        "agents agents.enable_user_data_recording enable_data_tracks node_selector.algorithm node_stats "
        "node_stats.stats_max_delay node_stats.stats_rate_measurement_intervals "
        "node_stats.stats_update_interval room.update_batch_target_size rtc.datachannel_lossy_target_latency "
        "rtc.enable_rtp_stream_restart_detection rtc.sctp_cwnd_ca_step rtc.sctp_fast_rtx_wnd "
        "rtc.sctp_min_cwnd rtc.use_stun_port_as_ice trace trace.jaeger_url video.codec_regression_threshold "
        "webhook.filter_params webhook.resource_url_notifier webhook.url_notifier"
    ),
    # refused by 1.9.12, read by 1.11.0
    ((1, 9, 12), (1, 11, 0)): (
        "agents.target_load api api.check_interval api.enable_psrpc_for_get_list_participants "
        "api.execution_timeout api.max_check_interval turn.bind_addresses"
    ),
    # refused by 1.11.0, read by 1.13.5
    ((1, 11, 0), (1, 13, 5)): (
        "agents.enable_user_data_redaction debug_handler debug_handler.port enable_participant_data_blob "
        "limit.max_data_blob_key_length limit.max_data_blobs_size limit.max_data_track_custom_encoding_length "
        "rtc.advertise_internal_ip rtc.allow_udp_unstable_fallback rtc.datachannel_data_track_target_latency "
        "rtc.host_acceptance_min_wait rtc.prflx_acceptance_min_wait rtc.relay_acceptance_min_wait "
        "rtc.skip_external_ip_validation rtc.srflx_acceptance_min_wait rtc.tcp_fallback_rtt_threshold "
        "turn.allow_restricted_peer_cidrs turn.deny_peer_cidrs turn.ttl_seconds"
    ),
}
#: (last version that reads, first version that refuses) to the keys.
_GONE: Final[dict[tuple[rules.Version, rules.Version], str]] = {
    ((1, 11, 0), (1, 13, 5)): "room.create_room_enabled",
}

_EVER: Final = frozenset(
    {f"{section}.{key}".lstrip(".") for section, keys in _ALWAYS.items() for key in keys.split()}
    | {key for keys in (*_SINCE.values(), *_GONE.values()) for key in keys.split()}
)


def known_sections() -> frozenset[str]:
    """The sections whose keys are held here."""
    return frozenset(key.partition(".")[0] for key in _EVER if "." in key)


def all_keys() -> frozenset[str]:
    """Every key that any of the four versions reads, as `section.key`."""
    return _EVER


def refuses(key: str, version: str | None) -> bool | None:
    """Does this server refuse to start over the key (`agents.target_load`)? None when that is not known.

    Without a version only what none of the four reads is refused.
    """
    if key not in _EVER:
        # A server newer than all that were run may know it.
        parsed = rules.parse_version(version)
        return None if parsed is not None and not OLDEST <= parsed <= NEWEST else True
    parsed = rules.parse_version(version)
    if parsed is None:
        return None if any(key in keys.split() for keys in (*_SINCE.values(), *_GONE.values())) else False
    for (last, first), keys in _SINCE.items():
        if key in keys.split():
            return True if parsed <= last else False if parsed >= first else None
    for (last, first), keys in _GONE.items():
        if key in keys.split():
            return False if parsed <= last else True if parsed >= first else None
    return False


def since_words(key: str) -> str:
    """`1.11.0 reads it, 1.9.12 refuses it`; empty for a key that all four read, or none."""
    for (last, first), keys in _SINCE.items():
        if key in keys.split():
            return f"{_text(first)} reads it, {_text(last)} refuses it"
    for (last, first), keys in _GONE.items():
        if key in keys.split():
            return f"{_text(last)} reads it, {_text(first)} refuses it"
    return ""


def meant(key: str) -> str:
    """The key that was probably meant; empty when none is near. A known key in the wrong section counts as near."""
    section, _, name = key.rpartition(".")
    near: Iterable[str] = difflib.get_close_matches(key, sorted(_EVER), 1, 0.8)
    moved = sorted(one for one in _EVER if one.rpartition(".")[2] == name and one.rpartition(".")[0] != section)
    return next(iter(near), moved[0] if len(moved) == 1 else "")


def _text(version: rules.Version) -> str:
    return ".".join(map(str, version))
