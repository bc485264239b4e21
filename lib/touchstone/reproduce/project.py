"""Where things are: the root of a collection, its folders, and what one run of a notebook is called."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from touchstone.reproduce.errors import ReproductionError

PACKAGE = "touchstone"
PROFILES = ("full", "quick", "gpu")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Project:
    """The folders of a collection. Everything under ``build`` is local and may be deleted at any time."""

    root: Path

    @property
    def register(self) -> Path:
        return self.root / "papers.toml"

    @property
    def pinned(self) -> Path:
        return self.root / "requirements.lock"

    @property
    def library(self) -> Path:
        """The folder that holds the package, to be put on the import path."""
        return self.root / "lib"

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def figures(self) -> Path:
        return self.root / "figures"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def cache(self) -> Path:
        return self.build / "cache"

    @property
    def lock_file(self) -> Path:
        return self.build / "reproduce.lock"

    def relative(self, path: Path) -> str:
        """``path`` as it is written in messages: from the root, with forward slashes."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)


@dataclass(frozen=True)
class Variant:
    """The parameters that every notebook takes, and with them the folders of one run."""

    profile: str = "full"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ReproductionError(f"profile={self.profile!r}: expected one of {', '.join(PROFILES)}.")
        if self.device not in DEVICES:
            raise ReproductionError(f"device={self.device!r}: expected one of {', '.join(DEVICES)}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ReproductionError(f"seed={self.seed!r}: expected an integer, 0 or larger.")

    @property
    def parameters(self) -> dict[str, str | int]:
        return {"profile": self.profile, "seed": self.seed, "device": self.device}

    @property
    def is_the_evidence(self) -> bool:
        """Whether this run writes ``figures/``: the full profile on the processor with the default seed."""
        return self.profile == "full" and self.seed == 0 and self.device in ("auto", "cpu")

    @property
    def label(self) -> str:
        """The name of this run's folders under ``build``."""
        if self.is_the_evidence:
            return "full"
        name = self.profile
        if self.seed:
            name += f"-seed{self.seed}"
        if self.device != "auto":
            name += f"-{self.device}"
        return name

    def outputs(self, project: Project) -> Path:
        """The folder that holds one folder of artefacts for each paper."""
        return project.figures if self.is_the_evidence else project.build / "runs" / self.label

    def executed(self, project: Project) -> Path:
        return project.build / "executed" / self.label

    def logs(self, project: Project) -> Path:
        return project.build / "logs" / self.label

    def stamps(self, project: Project) -> Path:
        return project.build / "stamps" / self.label


def find_project(root: str | os.PathLike[str] | None = None) -> Project:
    """The project: ``root``, else ``TOUCHSTONE_ROOT``, else the nearest one at or above the current folder.

    A root is a folder whose ``pyproject.toml`` names the package ``touchstone``. Raises
    ``ReproductionError`` when there is none.
    """
    given = root or os.environ.get("TOUCHSTONE_ROOT")
    if given:
        folder = Path(given).expanduser().resolve()
        if not _is_root(folder):
            raise ReproductionError(
                f"{folder} is not a touchstone collection: its pyproject.toml is missing or names another."
            )
        return Project(folder)
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if _is_root(folder):
            return Project(folder)
    raise ReproductionError(
        f"no touchstone collection at or above {here}: change to a checkout, or name one with --root."
    )


def _is_root(folder: Path) -> bool:
    try:
        with open(folder / "pyproject.toml", "rb") as stream:
            return tomllib.load(stream).get("project", {}).get("name") == PACKAGE
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError):
        return False
