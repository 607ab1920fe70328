"""Print the folder that holds ONNX Runtime's C++ headers, fetching them where the system has none.

No Python package carries them. Tried in this order, after CMake looked at ONNXRUNTIME_INCLUDE_DIR and the
system: the release archive, then Debian's libonnxruntime-dev through this machine's own apt mirror
(downloaded and unpacked into the build folder; nothing is installed). Prints nothing and exits with 1 when
all fail; says why on stderr. Uses the standard library only: it runs inside the build.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

HEADER = "onnxruntime_cxx_api.h"
VERSION = "1.21.1"  # any version serves that is not newer than the onnxruntime that loads the library
ARCHIVE = f"https://github.com/microsoft/onnxruntime/releases/download/v{VERSION}/onnxruntime-linux-x64-{VERSION}.tgz"
DEBIAN_SUITE, DEBIAN_PACKAGE = "trixie", "libonnxruntime-dev"
SECONDS = 30


def from_archive(target: Path) -> None:
    """Unpack the headers of the release archive."""
    with urllib.request.urlopen(ARCHIVE, timeout=SECONDS) as reply:
        content = io.BytesIO(reply.read())
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=content, mode="r:gz") as archive:
        for member in archive.getmembers():
            if "/include/" in member.name and (file := archive.extractfile(member)) is not None:
                (target / Path(member.name).name).write_bytes(file.read())


def debian_source() -> str:
    """The machine's own Debian mirror, as the head of a one-line apt source."""
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for stanza in path.read_text().split("\n\n"):
            uri = re.search(r"^URIs:\s*(\S+/debian/?)(?:\s|$)", stanza, re.M)
            if uri and not re.search(r"^Enabled:\s*no", stanza, re.M):
                key = re.search(r"^Signed-By:\s*(/\S+)", stanza, re.M)
                return f"deb {f'[signed-by={key[1]}] ' if key else ''}{uri[1]}"
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))]:
        line = path.is_file() and re.search(r"^deb\s+(\[[^\]]*\]\s+)?(\S+/debian/?)\s", path.read_text(), re.M)
        if line:
            return f"deb {line[1] or ''}{line[2]}"
    raise RuntimeError("this machine has no Debian mirror configured")


def from_debian(target: Path) -> None:
    """Download and unpack libonnxruntime-dev with private apt state; needs no rights and changes nothing."""
    work = target.parent / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "sources.list").write_text(f"{debian_source()} {DEBIAN_SUITE} main\n")
    options = [
        f"Dir::Etc::SourceList={work}/sources.list",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={work}/lists",
        f"Dir::Cache={work}/cache",
        "APT::Sandbox::User=",
    ]
    apt = ["apt-get", "-q", *(f"-o{option}" for option in options)]
    for command in ([*apt, "update"], [*apt, "download", DEBIAN_PACKAGE]):
        subprocess.run(command, cwd=work, check=True, capture_output=True, text=True, timeout=10 * SECONDS)
    (package,) = work.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, work / "root"], check=True, capture_output=True, text=True)
    (work / "root/usr/include/onnxruntime").rename(target)


def main() -> int:
    target = Path(sys.argv[1]).resolve() / "onnxruntime_headers"
    for fetch in (from_archive, from_debian):
        if (target / HEADER).is_file():
            break
        try:
            fetch(target)
        except (OSError, RuntimeError, ValueError, tarfile.TarError, subprocess.SubprocessError) as error:
            detail = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            print(f"{fetch.__name__}: {detail[-1] if detail else error!r}", file=sys.stderr)
    if not (target / HEADER).is_file():
        return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
