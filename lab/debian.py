# SPDX-License-Identifier: GPL-2.0
"""Debian packages, fetched with apt and unpacked into the user's cache. Nothing gets installed.

A package unpacks to CACHE/packages/NAME_VERSION_ARCH-DIGEST, where DIGEST is of the .deb itself:
what is there is complete and never changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.common import LabError, cache_dir, progress

ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Debian's own keys, also those of suites newer than the host's."""


class Apt:
    """apt with the machine's configuration, or with sources and state of our own."""

    def __init__(self, options: tuple[str, ...] = ()) -> None:
        self._options = options

    def _run(self, program: str, *words: str, cwd: Path | None = None) -> str:
        command = [program, *self._options, *words]
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise LabError(f"{' '.join([program, *words])} failed: {' '.join(said[-3:])}")
        return done.stdout

    def update(self) -> None:
        """Fetch the package lists."""
        self._run("apt-get", "-qq", "update")

    def dependencies(self, package: str) -> list[str]:
        """Names that a package directly depends on."""
        text = self._run("apt-cache", "depends", "--important", package)
        return re.findall(r"Depends: ([^<\s]+)$", text, re.MULTILINE)

    def to_install(self, packages: list[str]) -> list[str]:
        """NAME=VERSION of the packages and of all they need that is not installed."""
        # Simulated: a list of addresses would leave out what apt has in its own cache.
        text = self._run(
            "apt-get", "--simulate", "-y", "--no-install-recommends",
            "-o", "Debug::NoLocking=1", "--reinstall", "install", *packages,
        )  # fmt: skip
        # Inst NAME [OLD-VERSION] (VERSION SUITE [ARCH])
        installs = re.findall(r"^Inst (\S+) (?:\[\S*\] )?\((\S+) ", text, re.MULTILINE)
        return [f"{name}={version}" for name, version in installs]

    def download(self, packages: list[str], directory: Path) -> list[Path]:
        """Fetch the .deb of each package into a directory."""
        if os.geteuid() == 0:
            # apt's unprivileged user may not write to a private directory, and says so.
            packages = ["-o", "APT::Sandbox::User=root", *packages]
        self._run("apt-get", "-qq", "download", *packages, cwd=directory)
        return sorted(directory.glob("*.deb"))


def mirror() -> tuple[str, list[str]]:
    """The URI of the machine's configured Debian archive, and the keyrings that it is signed by.

    apt itself reads its configuration, whatever its form.
    """
    listing = subprocess.run(
        ["apt-get", "indextargets", "Created-By: Packages"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    ).stdout
    for paragraph in listing.split("\n\n"):
        entry = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.MULTILINE))
        suite = entry.get("Release", "")
        # Not security or backports: those archives hold other suites.
        if re.search(r"-(security|updates|backports|proposed)", suite) or "/" in suite:
            continue
        if entry.get("Component") == "main" and entry.get("Origin", "Debian") == "Debian":
            keyrings = re.split(r"[,\s]+", entry.get("Signed-By", ""))
            return entry["Repo-URI"], [path for path in keyrings if path.startswith("/")]
    raise LabError(
        "apt has no Debian archive configured (component main): "
        "add one under /etc/apt/sources.list.d, then try again"
    )


def apt_of_suite(suite: str) -> Apt:
    """apt for a suite of the machine's own mirror, with lists and sources apart from the system's.

    The system's proxies, certificates and such stay in force.
    """
    uri, keyrings = mirror()
    keyrings = list(dict.fromkeys([str(ARCHIVE_KEYRING), *keyrings]))
    keyrings = [path for path in keyrings if Path(path).exists()]
    signed_by = f" [signed-by={','.join(keyrings)}]" if keyrings else ""
    home = cache_dir() / "apt" / suite
    for name in ("lists/partial", "archives/partial", "none"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "sources.list").write_text(f"deb{signed_by} {uri} {suite} main\n")
    configuration = home / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{home}/sources.list";\n'
        f'Dir::Etc::sourceparts "{home}/none";\n'
        f'Dir::Etc::preferences "/dev/null";\n'
        f'Dir::Etc::preferencesparts "{home}/none";\n'
        f'Dir::State "{home}";\n'
        f'Dir::State::lists "{home}/lists";\n'
        f'Dir::State::status "/dev/null";\n'
        f'Dir::Cache "{home}";\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
        # What the system does after an update of its own lists is not for ours.
        "#clear APT::Update::Pre-Invoke;\n"
        "#clear APT::Update::Post-Invoke;\n"
        "#clear APT::Update::Post-Invoke-Success;\n"
    )
    return Apt(("-c", str(configuration)))


def unpack(deb: Path) -> Path:
    """Unpack a .deb into the cache; returns its root directory."""
    with deb.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    packages = cache_dir() / "packages"
    packages.mkdir(exist_ok=True)
    root = packages / f"{deb.stem.replace('%3a', ':')}-{digest[:16]}"
    if root.is_dir():
        return root
    # A name of its own until it is whole: an interrupted run leaves no half package behind.
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=packages) as directory:
        whole = Path(directory) / "root"
        done = subprocess.run(["dpkg-deb", "-x", str(deb), str(whole)], capture_output=True)
        if done.returncode:
            raise LabError(f"dpkg-deb -x {deb.name}: {done.stderr.decode(errors='replace')}")
        whole.rename(root)
    return root


def fetch(apt: Apt, packages: list[str]) -> list[Path]:
    """Download packages and unpack each into the cache; returns their root directories."""
    progress(f"fetching {' '.join(packages)}")
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache_dir()) as directory:
        return [unpack(deb) for deb in apt.download(packages, Path(directory))]


def fetch_with_dependencies(packages: list[str]) -> Path:
    """Unpack packages of the host's own suite, and what they need beyond what is installed.

    Returns one root directory that holds all of them. Its programs run as
    `LD_LIBRARY_PATH=ROOT/usr/lib/x86_64-linux-gnu ROOT/usr/bin/PROGRAM`.
    """
    apt = Apt()
    try:
        wanted = apt.to_install(packages)
    except LabError:
        # Most often the lists are empty: a fresh machine.
        apt.update()
        wanted = apt.to_install(packages)
    key = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()
    trees = cache_dir() / "trees"
    trees.mkdir(exist_ok=True)
    tree = trees / f"{'+'.join(packages)}-{key[:16]}"
    if tree.is_dir():
        return tree
    roots = fetch(apt, wanted)
    with tempfile.TemporaryDirectory(prefix=".tree-", dir=trees) as directory:
        whole = Path(directory) / "root"
        for root in roots:
            shutil.copytree(root, whole, symlinks=True, dirs_exist_ok=True)
        whole.rename(tree)
    return tree
