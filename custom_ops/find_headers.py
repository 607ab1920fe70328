"""Print the folder that holds ONNX Runtime's C++ headers, fetching them where the system has none.

No Python package carries them. Tried in this order, after CMake looked at ONNXRUNTIME_INCLUDE_DIR and the
system: the release archive, then Debian's libonnxruntime-dev through this machine's own apt mirror
(downloaded and unpacked into the build folder; nothing is installed). Prints nothing and exits with 1 when
all fail; says why on stderr. Uses the standard library only: it runs inside the build.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

HEADER = "onnxruntime_cxx_api.h"
# SHA-256 of what the kernels include; those of an archive are refused where they are others. (Debian's are signed.)
HASHES = {
    "onnxruntime_c_api.h": "7783e9664bdb0b1b36145b5c8587dd1bc9a399aa000edf2e3dd03003cafc6882",
    "onnxruntime_cxx_api.h": "b3b27d6a6fced0725e3f188379cca008b1d7a456997684756374d4b388f2cf05",
    "onnxruntime_cxx_inline.h": "7f448e994c732eacd9e49900365fefa8f1ac998a6d6eb78e5f4aab1b8d9d8900",
    "onnxruntime_float16.h": "6c4db3d1954b266c4febe413351af86cac922e3448538e7e452e51d646e56a4a",
}
VERSION = "1.21.0"  # any version serves that is not newer than the onnxruntime that loads the library
ARCHIVE = f"https://github.com/microsoft/onnxruntime/releases/download/v{VERSION}/onnxruntime-linux-x64-{VERSION}.tgz"
DEBIAN_SUITE, DEBIAN_PACKAGE = "trixie", "libonnxruntime-dev"
SECONDS = 30


def from_archive(target: Path) -> None:
    """Unpack the headers of the release archive.

    Raises:
        RuntimeError: one is missing, or not what it should be; nothing is written.
    """
    with urllib.request.urlopen(ARCHIVE, timeout=SECONDS) as reply:
        headers = verified_headers(reply.read())
    target.mkdir(parents=True, exist_ok=True)
    for name, content in headers.items():
        (target / name).write_bytes(content)


def verified_headers(archive: bytes) -> dict[str, bytes]:
    """The headers that the kernels include, out of a .tgz.

    Raises:
        RuntimeError: one is missing, or its SHA-256 is another.
    """
    headers = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        for member in files.getmembers():
            name = Path(member.name).name
            if name in HASHES and "/include/" in member.name and (file := files.extractfile(member)) is not None:
                headers[name] = file.read()
    for name, digest in HASHES.items():
        if hashlib.sha256(headers.get(name, b"")).hexdigest() != digest:
            raise RuntimeError(f"{name} of the release archive is missing, or not the one that is known")
    return headers


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
