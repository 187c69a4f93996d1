"""Differences that nobody wanted and nobody has mended yet, by script: the places where they are."""

from __future__ import annotations

KNOWN: dict[str, list[str]] = {
    "artifacts/files_it_refuses": ["seen/entry"],
    "artifacts/get_added": ["seen/get", "seen/get_path"],
    "artifacts/log_code": ["runs/0/artifacts/0/name"],
    "artifacts/names_it_refuses": ["seen/job"],
    "config/keys_that_are_no_text": ["runs"],
    "media/histograms": ["seen/not finite"],
    "media/image_of_an_array": [
        "runs/0/files/media/images/val/img_1_<hash>.png",
        "runs/0/files/media/images/val/img_7_<hash>.png",
        "runs/0/history/1/val/img/path",
        "runs/0/summary/val/img/path",
    ],
    "media/images_of_many_kinds": ["runs/0/files/media/images/mode_6_<hash>.png/0/mode"],
    "media/mixed_list": ["runs/0/files", "runs/0/history", "runs/0/summary", "seen/list"],
    "media/wrong_boxes_and_masks": ["seen/no mask data", "seen/nothing"],
    "metrics/defined_again": ["runs/0/metrics/loss/summary"],
    "settings/errors_there_are": ["seen/bases/UnsupportedError"],
    "steps/empty_rows": ["runs/0/history"],
    "summary/min_of_what_is_no_number": [
        "runs/0/summary/x/max",
        "runs/0/summary/x/mean",
        "runs/0/summary/x/min",
    ],
    "tables/incremental": [
        "runs/0/artifacts/0/manifest/0-<time>.table.table.json",
        "runs/0/artifacts/0/manifest/None-<time>.table.table.json",
        "runs/0/artifacts/1/manifest/0-<time>.table.table.json",
        "runs/0/history/0/table/_latest_artifact_path",
        "runs/0/history/0/table/artifact_path",
        "runs/0/history/1/table/previous_increments_paths/0",
        "runs/0/summary/table/previous_increments_paths/0",
    ],
    "tables/logged_twice": ["runs/0/history/1/table/nrows", "runs/0/summary/table/nrows"],
    "tables/of_a_frame": ["runs/0/files/media/table/frame_0_<hash>.table.json/0/json/data/1/1"],
    "tables/refuses": ["seen/frame that is none"],
    "values/odd_keys": ["runs/0/history"],
}
