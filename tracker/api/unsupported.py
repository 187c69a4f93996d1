"""Methods of wandb's ``Api`` that tracker does not support. Each error names the nearest alternative."""

from __future__ import annotations

from typing import Any, NoReturn

from tracker.errors import UnsupportedError

_LAUNCH = "start runs with your own scheduler: `tracker run python train.py` inside its job"
_REPORTS = "the dashboard shows runs and charts; use run.notes for remarks"
_REGISTRY = "link versions into a project of your own: artifact.link('ENTITY/model-registry/NAME')"
_AUTOMATIONS = "ask Api().runs(...) or artifacts(...) from a script of your own, say in cron"
_ACCOUNTS = "an administrator of the server manages its users (`tracker user`)"
_CHARTS = "log the figure itself: plotly and matplotlib figures, or wandb.plot"


class UnsupportedMethods:
    """Methods of wandb's ``Api`` that raise ``UnsupportedError``."""

    def create_run_queue(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.create_run_queue", _LAUNCH)

    def upsert_run_queue(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.upsert_run_queue", _LAUNCH)

    def run_queue(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.run_queue", _LAUNCH)

    def queued_run(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.queued_run", _LAUNCH)

    def job(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.job", _LAUNCH)

    def list_jobs(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.list_jobs", _LAUNCH)

    def reports(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.reports", _REPORTS)

    def registry(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.registry", _REGISTRY)

    def registries(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.registries", _REGISTRY)

    def create_registry(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.create_registry", _REGISTRY)

    def organization(self, name: str | None = None) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.organization", _ACCOUNTS)

    def create_team(self, team: str, admin_username: str | None = None) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.create_team", f"a run creates the entity that it names; {_ACCOUNTS}")

    def create_user(self, email: str, admin: bool | None = False) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.create_user", _ACCOUNTS)

    def create_custom_chart(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.create_custom_chart", _CHARTS)

    def integrations(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.integrations", _AUTOMATIONS)

    def webhook_integrations(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.webhook_integrations", _AUTOMATIONS)

    def slack_integrations(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.slack_integrations", _AUTOMATIONS)

    def automation(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.automation", _AUTOMATIONS)

    def automations(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.automations", _AUTOMATIONS)

    def create_automation(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.create_automation", _AUTOMATIONS)

    def update_automation(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.update_automation", _AUTOMATIONS)

    def delete_automation(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError("Api.delete_automation", _AUTOMATIONS)
