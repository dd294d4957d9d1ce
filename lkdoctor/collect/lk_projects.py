"""Reads the projects of the `lk` command's own configuration, `~/.livekit/cli-config.yaml`.

Its form (livekit-cli, `pkg/config/config.go`): `default_project: NAME` and `projects:`, a list of `name`, `url`,
`api_key`, `api_secret` (and `project_id`). Projects that belong to a signed-in user carry no key and cannot be used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PLACE: Final = Path(".livekit", "cli-config.yaml")


class ProjectsError(Exception):
    """The file, or a project in it, cannot be used: which, and what to do. The message stands for itself."""


@dataclass(frozen=True, slots=True)
class Project:
    """One project; a value that is missing is empty."""

    name: str
    url: str
    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Projects:
    """The file's projects; `default` is the name of the default one, or empty."""

    path: Path
    all: tuple[Project, ...]
    default: str = ""

    def named(self, name: str) -> Project:
        """The project called `name`, in any case when only one fits.

        Raises:
            ProjectsError: there is none.
        """
        exact = [one for one in self.all if one.name == name]
        near = exact or [one for one in self.all if one.name.lower() == name.lower()]
        if len(near) == 1:
            return near[0]
        if not self.all:
            raise ProjectsError(f"--project {name}: {self.path} has no projects. Add one with `lk project add`.")
        names = ", ".join(one.name for one in self.all)
        raise ProjectsError(f"--project {name}: {self.path} has no such project. It has: {names}.")


def read_projects(home: Path) -> Projects | None:
    """The projects of this user; None where `lk` was never set up.

    Raises:
        ProjectsError: the file exists and is not what `lk` writes.
    """
    path = home / PLACE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ProjectsError(f"{path}: {reason}. Make it readable, or give --url and the key.") from error
    import yaml  # noqa: PLC0415 - only when there is a file

    try:
        content = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProjectsError(
            f"{path} line {line}: {error.problem or 'not YAML'}. `lk project list` says more."
        ) from error
    except yaml.YAMLError as error:
        raise ProjectsError(f"{path}: not YAML. `lk project list` says more.") from error
    if not isinstance(content, dict):
        raise ProjectsError(f"{path} line 1: not the form that `lk` writes (default_project, projects).")
    listed = content.get("projects") or []
    if not isinstance(listed, list):
        raise ProjectsError(f"{path}: `projects` is no list. `lk project add` writes the right form.")
    return Projects(path, tuple(_projects(path, listed)), _text(content.get("default_project")))


def _projects(path: Path, listed: list[Any]) -> Iterable[Project]:
    for number, one in enumerate(listed, 1):
        if not isinstance(one, dict) or not _text(one.get("name")):
            raise ProjectsError(f"{path}: entry {number} of `projects` has no name. Mend it, or remove it with `lk`.")
        yield Project(
            _text(one["name"]), _text(one.get("url")), _text(one.get("api_key")), _text(one.get("api_secret"))
        )


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
