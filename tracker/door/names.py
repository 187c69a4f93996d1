"""The list of wandb's modules that tracker provides, with the names in each module.

A module is either an alias of a tracker module (``ALIASES``) or a list of names (``NAMES``). In such a list,
``Image`` means ``tracker.Image``, ``new=tracker.util:old`` means ``tracker.util.old`` under the name ``new``,
and ``*tracker.errors`` adds all names of that module.
"""

from __future__ import annotations

VERSION = "0.31.0"  # the wandb version in the package metadata and in ``wandb.__version__``

ALIASES = {
    "wandb.api": "tracker.api",
    "wandb.data_types": "tracker.data_types",
    "wandb.env": "tracker.env",
    "wandb.integration": "tracker.integration",
    "wandb.plot": "tracker.plot",
    "wandb.profiler": "tracker.sdk.torch.profiler",
    "wandb.util": "tracker.util",
    # Older pickles, and checkpoints of watched models, contain these paths below `tracker`.
    "wandb.sdk.alerts": "tracker.sdk.run.alerts",
    "wandb.sdk.handing": "tracker.sdk.process.handover",
    "wandb.sdk.hooks": "tracker.sdk.torch.hooks",
    "wandb.sdk.settings": "tracker.sdk.run.settings",
    # Older names of integrations.
    **{
        f"wandb.{name}": f"tracker.integration.{name}"
        for name in (
            "catboost",
            "fastai",
            "gym",
            "keras",
            "lightgbm",
            "sacred",
            "sklearn",
            "tensorboard",
            "tensorflow",
            "xgboost",
        )
    },
}
# Each module below the first path is the module of the same name below the second path.
TREES = {
    "wandb.integration.": "tracker.integration.",
    "wandb.plot.": "tracker.plot.",
    "wandb.sdk.data_types.": "tracker.data_types.",
} | {
    f"{alias}.": f"{module}."
    for alias, module in ALIASES.items()
    if module.startswith("tracker.integration.")
}

_TERM = " ".join(
    f"{name}=tracker.sdk.process.termlog:{name}" for name in ("termlog", "termwarn", "termerror")
)
_IDS = "generate_id=tracker.util:generate_id generate_fast_id=tracker.util:generate_id"
_DISABLED = (
    "RunDisabled=tracker.door.disabled:RunDisabled SummaryDisabled=tracker.door.disabled:SummaryDisabled"
)

NAMES = {
    "wandb.apis": "Api PublicApi=tracker:Api public=tracker.door.modules:wandb.apis.public",
    "wandb.apis.public": "*tracker.api.public",
    **{
        f"wandb.apis.public.{name}": "*tracker.api.public"
        for name in (
            "api",
            "artifacts",
            "console_logs",
            "files",
            "history",
            "projects",
            "runhistory",
            "runs",
            "summary",
            "sweeps",
            "teams",
            "users",
        )
    },
    "wandb.apis.attrs": "*tracker.api.public",
    "wandb.errors": "*tracker.errors",
    "wandb.errors.errors": "*tracker.errors",
    "wandb.errors.term": _TERM,
    "wandb.integration.lightning": "",
    "wandb.integration.lightning.fabric": "WandbLogger=tracker.lightning.fabric:WandbLogger",
    "wandb.integration.lightning.fabric.logger": "WandbLogger=tracker.lightning.fabric:WandbLogger",
    "wandb.sdk": (
        "AlertLevel Artifact Config Settings init setup teardown finish login require sweep controller "
        "Summary=tracker.sdk.run.summary:Summary _attach=tracker.sdk.start.attach:attach"
    ),
    "wandb.sdk.artifacts": "",
    "wandb.sdk.artifacts.artifact": "Artifact",
    "wandb.sdk.artifacts.artifact_manifest_entry": "*tracker.artifacts.entry",
    "wandb.sdk.artifacts.artifact_ttl": "ArtifactTTL",
    "wandb.sdk.artifacts.exceptions": "*tracker.errors",
    "wandb.sdk.data_types": "",
    "wandb.sdk.data_types.base_types": "",
    "wandb.sdk.data_types.base_types.media": "*tracker.data_types *tracker.data_types.media",
    "wandb.sdk.data_types.base_types.wb_value": "*tracker.data_types",
    "wandb.sdk.data_types.graph": "Graph *tracker.data_types",
    "wandb.sdk.data_types.helper_types": "",
    "wandb.sdk.data_types.helper_types.bounding_boxes_2d": "*tracker.data_types",
    "wandb.sdk.data_types.helper_types.classes": "*tracker.data_types",
    "wandb.sdk.data_types.helper_types.image_mask": "*tracker.data_types",
    "wandb.sdk.data_types.object_3d": "Object3D box3d",
    "wandb.sdk.data_types.table": "Table *tracker.data_types",
    "wandb.sdk.data_types.video": "Video util=tracker:util",  # diffusion policies call util.generate_id
    "wandb.sdk.lib": _DISABLED,
    "wandb.sdk.lib.config_util": "ConfigError",
    "wandb.sdk.lib.disabled": _DISABLED,
    "wandb.sdk.lib.paths": " ".join(
        f"{name}=tracker.door.paths:{name}" for name in ("FilePathStr", "LogicalPath", "StrPath", "URIStr")
    ),
    "wandb.sdk.lib.printer": (
        "Printer=tracker.door.printer:Printer new_printer=tracker.door.printer:new_printer "
        "get_printer=tracker.door.printer:new_printer"
    ),
    "wandb.sdk.lib.runid": _IDS,
    "wandb.sdk.lib.telemetry": (
        "TelemetryRecord=tracker.door.telemetry:TelemetryRecord context=tracker.door.telemetry:context"
    ),
    "wandb.sdk.wandb_alerts": "AlertLevel",
    "wandb.sdk.wandb_config": "Config",
    "wandb.sdk.wandb_init": "init",
    "wandb.sdk.wandb_login": "login",
    "wandb.sdk.wandb_metric": "Metric=tracker.sdk.run.define_metric:Metric",
    "wandb.sdk.wandb_run": "Run restore finish",
    "wandb.sdk.wandb_settings": "Settings",
    "wandb.sdk.wandb_setup": "setup teardown",
    "wandb.sdk.wandb_summary": "Summary=tracker.sdk.run.summary:Summary",
    "wandb.sdk.wandb_sweep": "sweep controller",
    "wandb.wandb_agent": "agent",
    "wandb.wandb_run": "Run",
}

# Modules of wandb that tracker does not provide. An import of them raises an error with an explanation.
MISSING = (
    "wandb.agents",
    "wandb.apis.importers",
    "wandb.apis.public.reports",
    "wandb.apis.reports",
    "wandb.apis.workspaces",
    "wandb.app_url",
    "wandb.automations",
    "wandb.docker",
    "wandb.jupyter",
    "wandb.proto",
    "wandb.sandbox",
    "wandb.sdk.data_types.trace_tree",
    "wandb.sdk.interface",
    "wandb.sdk.internal",
    "wandb.sdk.launch",
    "wandb.sdk.lib.ipython",
)
