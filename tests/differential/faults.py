"""Differences that nobody wanted and nobody has mended yet, by script: the places where they are."""

from __future__ import annotations

KNOWN: dict[str, list[str]] = {
    "config/allow_val_change_from_init": ["exit", "runs", "seen/changed"],
    "config/include_and_exclude_keys": ["exit", "runs"],
    "config/keys_that_are_no_text": [
        "exit",
        "runs/0/config",
        "runs/0/exit_code",
        "runs/0/id",
        "runs/0/name",
        "runs/0/project",
        "seen/config",
    ],
    "config/numpy_and_friends": ["runs/0/config/nan"],
    "metrics/defined_again": ["runs/0/summary/loss/min"],
    "metrics/nested_key": ["runs/0/summary/eval/loss"],
    "metrics/returned": ["exit", "runs/0/exit_code", "runs/0/metrics/acc", "seen/of a metric"],
    "steps/empty_rows": ["runs/0/history"],
    "steps/float_step": ["runs/0/history", "runs/0/summary/c"],
    "steps/same_key_twice": ["runs/0/history/0/n/x", "runs/0/summary/n/x"],
    "steps/smaller_step": ["runs/0/summary/f"],
    "summary/best_with_goal": ["runs/0/metrics", "runs/0/summary/acc", "seen/best"],
    "summary/deleted": ["runs/0/summary/b/c"],
    "summary/min_of_what_is_no_number": [
        "runs/0/summary/x/max",
        "runs/0/summary/x/mean",
        "runs/0/summary/x/min",
    ],
    "summary/numpy_values": ["runs/0/summary/nan"],
    "summary/set_by_hand": ["runs/0/summary/nested/c"],
}
