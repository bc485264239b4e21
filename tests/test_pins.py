"""pyproject.toml, requirements.lock and environment.yml say the same thing."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def wanted():
    extras = PROJECT["optional-dependencies"]
    requirements = [Requirement(text) for text in PROJECT["dependencies"] + extras["dev"]]
    for own in [r for r in requirements if r.name == PROJECT["name"]]:  # an extra that contains others
        requirements += [Requirement(text) for extra in own.extras for text in extras[extra]]
    return {canonicalize_name(r.name): r for r in requirements if r.name != PROJECT["name"]}


def locked():
    """name -> version; a name locked twice under different markers would be ambiguous here."""
    pairs = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", LOCK, re.M)
    names = [canonicalize_name(name) for name, _ in pairs]
    assert len(names) == len(set(names)), "a package is locked at two versions"
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def conda():
    entries = CONDA["dependencies"]
    texts = [e for e in entries if isinstance(e, str)]
    texts += [text for e in entries if isinstance(e, dict) for text in e["pip"]]
    pairs = (re.fullmatch(r"([A-Za-z0-9._-]+)\s*(.*)", text).groups() for text in texts)
    return {canonicalize_name(name): spec.strip() for name, spec in pairs}


def test_every_dependency_is_locked_at_an_allowed_version():
    versions = locked()
    for name, requirement in wanted().items():
        assert name in versions, f"{name} is missing from requirements.lock: make lock"
        assert versions[name] in requirement.specifier, f"{name} {versions[name]} breaks {requirement}"


def test_every_locked_package_is_hashed():
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK.strip())
    assert len(blocks) == len(locked())
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]


@pytest.mark.parametrize("name", ["requirements.lock", "environment.yml", "pyproject.toml"])
def test_no_package_index_is_named(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|file://", text)
    assert not re.search(r"https?://(?!github\.com/)", text)


def test_conda_names_what_the_lock_pins():
    versions, environment = locked(), conda()
    assert CONDA["channels"][0] == "conda-forge"
    for name in wanted():
        assert name in environment, f"{name} is missing from environment.yml"
        pinned = environment[name].lstrip("=")
        prefix = ".".join(str(versions[name]).split(".")[:2])
        assert pinned == prefix, f"environment.yml: {name} ={pinned}, the lock has {versions[name]}"
    extra = set(environment) - set(wanted()) - {"python", "pip", "cupy"}
    assert not extra, f"environment.yml names {sorted(extra)}, which pyproject.toml does not"


def test_conda_has_the_packages_the_project_promises():
    promised = {"jupyterlab", "numpy", "scipy", "matplotlib", "sympy", "cupy", "papermill"}
    assert promised <= set(conda())
    assert SpecifierSet(conda()["python"].replace(" ", "")) == SpecifierSet(PROJECT["requires-python"])


def test_extras_are_there():
    assert {"cuda12", "cuda13", "cluster", "site", "dev", "bench"} <= set(PROJECT["optional-dependencies"])
    cupy = Requirement(PROJECT["optional-dependencies"]["cuda12"][0])
    assert cupy.name == "cupy-cuda12x"
    assert conda()["cupy"] in str(cupy.specifier)
