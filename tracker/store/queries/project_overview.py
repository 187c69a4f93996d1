"""The overview of one project: states of its runs, runs per day, and the size of its artifacts."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tracker.ground.read_models import ProjectOverview
from tracker.store.catalog.models import Collection, PrivateProject, Project, Run, Version

DAY = 86400
LARGEST_DAYS = 366


def project_overview(
    session: Session, entity: str, project: str, *, days: int, now: float
) -> ProjectOverview:
    """Return the overview of a project; an unknown project has no runs.

    Args:
        session: A read transaction.
        entity: The entity of the project.
        project: The name of the project.
        days: The number of days of ``runs_per_day``, at most ``LARGEST_DAYS``.
        now: The current time in unix seconds.
    """
    first = (int(now // DAY) - days + 1) * DAY
    number = select(Project.id).where(Project.entity == entity, Project.name == project).scalar_subquery()
    states = session.execute(
        select(Run.state, func.count())
        .where(Run.project_id == number)
        .group_by(Run.state)
        .order_by(Run.state)
    )
    # This reads a range of the index of creation times. The databases share no rounding of a division.
    created = session.scalars(select(Run.created_at).where(Run.project_id == number, Run.created_at >= first))
    counts = [0] * days
    for at in created:
        counts[min(int((at - first) // DAY), days - 1)] += 1  # the clock of another host can be ahead
    versions, size = session.execute(
        select(func.count(Version.id), func.coalesce(func.sum(Version.size), 0))
        .join(Collection)
        .where(Collection.project_id == number, Version.deleted_at.is_(None), Version.source.is_(None))
    ).one()
    private = session.get(PrivateProject, (entity, project)) is not None
    return ProjectOverview(dict(states.all()), first, counts, versions, int(size), private)
