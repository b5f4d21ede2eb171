"""pyproject.toml, environment.yml and constraints.txt say the same."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {  # conda-forge calls these otherwise
    "pytorch": "torch",
    "matplotlib-base": "matplotlib",
    "playwright-python": "playwright",
}
LINUX_ONLY = re.compile(r"nvidia|cuda|cudnn|nccl|triton|secretstorage|jeepney|pyinotify", re.I)


def ranges(lines: list[str]) -> dict[str, str]:
    """Return {name: version range} of requirement lines."""
    found = [Requirement(line) for line in lines]
    return {str(canonicalize_name(r.name)): str(r.specifier) for r in found}


def project(*extras: str) -> dict[str, str]:
    """Return the ranges of the package with these extras."""
    more = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return ranges(PROJECT["dependencies"] + more)


def conda() -> dict[str, str]:
    """Return the ranges of environment.yml under the names of the package index."""
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    found = ranges([line for line in lines if isinstance(line, str)])
    return {CONDA_NAMES.get(name, name): versions for name, versions in found.items()}


def pins() -> dict[str, str]:
    """Return {name: version} of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {str(canonicalize_name(n)): v for n, v in (line.split("==") for line in lines)}


def test_conda_has_all_that_the_package_needs():
    have = conda()
    assert {name: have.get(name) for name in project("lab", "test")} == project("lab", "test")


def test_the_package_needs_all_that_conda_has():
    have = conda()
    assert have.pop("python") == PROJECT["requires-python"] and have.pop("pip") == ""
    assert have == {name: project("lab", "test").get(name) for name in have}


def test_conda_installs_the_package_itself():
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert [line for line in lines if isinstance(line, dict)] == [{"pip": ["-e ."]}]


def test_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)] == []
    assert len(pins()) == len(lines), "a name is pinned twice"
    assert lines == sorted(lines, key=str.lower)


def test_constraints_do_no_harm_on_other_systems():
    assert [name for name in pins() if LINUX_ONLY.search(name)] == []


def test_constraints_pin_every_direct_dependency_within_its_range():
    have, want = pins(), project(*PROJECT["optional-dependencies"])
    assert sorted(set(want) - set(have)) == []
    for name, versions in want.items():
        assert Requirement(f"{name}{versions}").specifier.contains(have[name]), name


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="conda resolves its own versions")
def test_torch_and_torchvision_are_the_pinned_pair():
    """A build for the CPU alone, such as 2.9.0+cpu, counts as its version."""
    pair = ("torch", "torchvision")
    have = {name: Version(importlib.metadata.version(name)).public for name in pair}
    assert have == {name: pins()[name] for name in have}


def test_torch_and_torchvision_work_together():
    """An operator of torchvision is missing when torch is of another build."""
    code = "import torch, torchvision; print(torchvision.ops.nms(torch.eye(4), torch.ones(4), 0.5))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
