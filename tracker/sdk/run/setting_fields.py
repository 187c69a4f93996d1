"""The fields of wandb's ``Settings``, release 0.31: their types and defaults."""

from __future__ import annotations

from typing import Any

_OFF = """
    allow_media_symlink allow_val_change console_multipart disable_code disable_git finish_timeout_raises
    force insecure_disable_ssl label_disable launch quiet relogin resumed sagemaker_disable silent
    stop_on_fatal_error table_raise_on_max_row_limit_exceeded x_cli_only_mode x_disable_machine_info
    x_disable_meta x_disable_stats x_disable_viewer x_server_side_derived_summary x_skip_transaction_log
    x_stats_no_cgroup x_stats_self_usage x_stats_track_process_tree x_sync
"""
_ON = """
    allow_offline_artifacts disable_git_fork_point disable_job_creation show_errors show_info show_warnings
    symlink x_file_stream_no_gzip x_primary x_save_requirements x_update_finish_state
"""
_OPEN = """
    save_code show_colors show_emoji strict sync_tensorboard use_dot_wandb x_flow_control_custom
    x_flow_control_disabled
"""
_COUNTS = """
    x_file_stream_max_bytes x_file_stream_max_line_bytes x_file_stream_retry_max x_file_transfer_retry_max
    x_graphql_retry_max x_live_policy_rate_limit x_live_policy_wait_time x_network_buffer x_stats_cpu_count
    x_stats_cpu_logical_count x_stats_gpu_count x_stats_pid
"""
_SPANS = """
    login_timeout x_file_stream_retry_wait_max_seconds x_file_stream_retry_wait_min_seconds
    x_file_stream_timeout_seconds x_file_stream_transmit_interval x_file_transfer_retry_wait_max_seconds
    x_file_transfer_retry_wait_min_seconds x_file_transfer_timeout_seconds x_graphql_retry_wait_max_seconds
    x_graphql_retry_wait_min_seconds x_graphql_timeout_seconds x_start_time
"""
_TEXTS = """
    api_key app_url_override base_url code_dir credentials_file docker email entity git_commit git_remote_url
    git_root host http_proxy https_proxy identity_token_file job_name launch_config_path notebook_name
    organization program program_abspath program_relpath project root_dir run_group run_id run_job_type
    run_name run_notes settings_system sweep_id sweep_param_path username x_executable x_files_dir
    x_jupyter_name x_jupyter_path x_jupyter_root x_label x_runqueue_item_id x_service_transport
    x_stats_dcgm_exporter x_stats_gpu_type x_stats_neuron_monitor_config_path
"""
_OTHERS = """
    anonymous azure_account_url_to_access_key capture_loggers fork_from resume_from stop_fn
    x_extra_http_headers x_proxies x_stats_open_metrics_endpoints x_stats_open_metrics_filters
    x_stats_open_metrics_http_headers
"""

_OF_KIND: dict[str, dict[str, Any]] = {
    "bool": {
        **dict.fromkeys(_OFF.split(), False),
        **dict.fromkeys(_ON.split(), True),
        **dict.fromkeys(_OPEN.split()),
    },
    "int": {
        **dict.fromkeys(_COUNTS.split()),
        "console_chunk_max_bytes": 0,
        "console_chunk_max_seconds": 0,
        "heartbeat_seconds": 30,
        "max_end_of_run_history_metrics": 10,
        "max_end_of_run_summary_metrics": 10,
        "summary_timeout": 60,
        "summary_warnings": 5,
        "x_log_level": 20,
        "x_stats_buffer_size": 0,
    },
    "float": {
        **dict.fromkeys(_SPANS.split()),
        "finish_timeout": 0.0,
        "init_timeout": 90.0,
        "x_internal_check_process": 8.0,
        "x_service_wait": 30.0,
        "x_stats_sampling_interval": 15.0,
        "x_transaction_log_flush_interval": 15.0,
    },
    "str": {
        **dict.fromkeys(_TEXTS.split()),
        "git_remote": "origin",
        "x_history_value_encoding": "json",
        "x_stats_coreweave_metadata_base_url": "http://169.254.169.254",
        "x_stats_coreweave_metadata_endpoint": "/api/v2/cloud-init/meta-data",
        "x_sync_dir_suffix": "",
    },
    "texts": {"config_paths": None, "ignore_globs": (), "run_tags": None, "x_stats_disk_paths": ("/",)},
    "numbers": {"x_stats_gpu_device_ids": None},
    "any": {**dict.fromkeys(_OTHERS.split()), "reinit": "default"},
}
CHOICES = {
    "console": (("auto", "off", "wrap", "redirect", "wrap_raw", "wrap_emu"), "auto"),
    "job_source": (("repo", "artifact", "image"), None),
    "mode": (("online", "offline", "shared", "disabled", "dryrun", "run"), "online"),
    "resume": (("allow", "must", "never", "auto"), None),
}
KINDS = {name: kind for kind, fields in _OF_KIND.items() for name in fields}
DEFAULTS: dict[str, Any] = {
    **{name: default for fields in _OF_KIND.values() for name, default in fields.items()},
    **{name: default for name, (_, default) in CHOICES.items()},
}
# Fields of older wandb releases that many scripts still set.
OLDER = ("start_method", "problem", "system_sample", "system_sample_seconds", "flow_control")
