#!/usr/bin/env python3
"""What a released program is made of: sbom.spdx.json (SPDX 2.3) and third-party-notices.gz.

  bill.py FOLDER VERSION COMMIT
"""

import datetime
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

folder, version, commit = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
root = Path(__file__).resolve().parent.parent.parent
swift = Path(subprocess.run(["which", "swift"], capture_output=True, text=True, check=True).stdout.strip()).resolve().parent.parent
argument_parser = next(
    pin for pin in json.loads((root / "Package.resolved").read_text())["pins"] if pin["identity"] == "swift-argument-parser")

# Debian's package of each archive, and the licence of the files that are linked.
DEBIAN = {
    "libpng-dev": "libpng-2.0", "libjpeg62-turbo-dev": "IJG AND BSD-3-Clause AND Zlib", "libwebp-dev": "BSD-3-Clause", "libgif-dev": "MIT",
    "libarchive-dev": "BSD-2-Clause", "zlib1g-dev": "Zlib", "liblzma-dev": "0BSD", "libbz2-dev": "bzip2-1.0.6",
    "libzstd-dev": "BSD-3-Clause", "libstdc++-12-dev": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgcc-12-dev": "GPL-3.0-or-later WITH GCC-exception-3.1",
}


def package(name, version, licence, source, notice):
    return {"name": name, "version": version, "licence": licence, "source": source, "notice": notice}


def debian(name, licence):
    version, source = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Version} ${source:Package}", name],
        capture_output=True, text=True, check=True).stdout.split()
    return package(name, version, licence, f"pkg:deb/debian/{source}@{version}", Path(f"/usr/share/doc/{name}/copyright").read_text())


swift_version = re.search(
    r"Swift version (\S+)", subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout).group(1)
parts = [
    package("swift-runtime", swift_version, "Apache-2.0 WITH Swift-exception", f"pkg:github/swiftlang/swift@swift-{swift_version}-RELEASE",
            (swift / "share/swift/LICENSE.txt").read_text()),
    package("swift-argument-parser", argument_parser["state"]["version"], "Apache-2.0 WITH Swift-exception",
            f"pkg:github/apple/swift-argument-parser@{argument_parser['state']['version']}",
            (root / ".build/static/checkouts/swift-argument-parser/LICENSE.txt").read_text()),
    *(debian(name, licence) for name, licence in DEBIAN.items()),
]

notices = ["ddpm contains the following works of others. Each keeps its own licence.\n"]
notices += [f"\n{'=' * 100}\n{p['name']} {p['version']} ({p['licence']})\n{'=' * 100}\n\n{p['notice']}" for p in parts]
folder.mkdir(parents=True, exist_ok=True)
(folder / "third-party-notices.gz").write_bytes(gzip.compress("".join(notices).encode(), 9, mtime=0))

created = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def spdx(p):
    identifier = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", p["name"])
    return {
        "SPDXID": identifier, "name": p["name"], "versionInfo": p["version"], "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": p["licence"], "licenseDeclared": p["licence"], "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": p["source"]}],
    }


ours = spdx(package("swift-ddpm", version, "Apache-2.0", f"pkg:generic/swift-ddpm@{version}", ""))
ours["sourceInfo"] = f"commit {commit}"
bill = {
    "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"ddpm-{version}",
    "documentNamespace": f"urn:swift-ddpm:{version}:{hashlib.sha256(commit.encode()).hexdigest()[:16]}",
    "creationInfo": {"created": created, "creators": ["Tool: scripts/release"]},
    "packages": [ours, *map(spdx, parts)],
    "relationships": [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": ours["SPDXID"]},
        *({"spdxElementId": ours["SPDXID"], "relationshipType": "STATIC_LINK", "relatedSpdxElement": spdx(p)["SPDXID"]} for p in parts),
    ],
}
(folder / "sbom.spdx.json").write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n")
