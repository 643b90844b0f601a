"""Archives of images as an engine writes them, and the files that devenv makes of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

from devenv.images import bundle_file
from devenv.images.needs import LOADED_REGISTRY

Entries = dict[str, Any]  # path -> bytes, or a TarInfo without content


def engine_archive(*names: str, change: Callable[[Entries], object] = lambda _: None) -> tuple[bytes, list[str]]:
    """A tar of images under temporary names, and their ids; `change` may spoil the entries."""
    entries: Entries = {"oci-layout": b"{}"}
    listed, manifests, ids = [], [], []
    for number, name in enumerate(names):
        tag = f"{LOADED_REGISTRY}/saving-01234567:{number}"
        layer = add(entries, name.encode() * 100)
        config = add(entries, json.dumps({"os": "linux", "name": name}).encode())
        manifest = add(entries, json.dumps({"config": {"digest": config}, "layers": [{"digest": layer}]}).encode())
        listed.append({"Config": blob(config), "RepoTags": [tag], "Layers": [blob(layer)]})
        manifests.append({"digest": manifest, "annotations": {bundle_file.NAMED: tag}})
        ids.append(config)
    entries["index.json"] = json.dumps({"manifests": manifests}).encode()
    entries["manifest.json"] = json.dumps(listed).encode()
    change(entries)
    return tarred(entries), ids


def add(entries: Entries, content: bytes) -> str:
    """Add the content as an entry; return its digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    entries[blob(digest)] = content
    return digest


def blob(digest: str) -> str:
    """The path of a digest in an archive."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def tarred(entries: Mapping[str, Any]) -> bytes:
    """A tar that ends as an engine's does: without the blocks that fill a record."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in entries.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
        end = tar.offset
    return out.getvalue()[:end] + bytes(1024)


def saved_file(packed_tar: bytes, listed: list[dict[str, Any]], **note: Any) -> bytes:
    """The file of `devenv images save`, byte for byte, with any content."""
    packed = gzip.compress(packed_tar, 1)
    about = {
        "format": bundle_file.FORMAT,
        "project": "shop",
        "saved": "2026-01-02T03:04:05+00:00",
        "images": listed,
        "archive": hashlib.sha256(packed).hexdigest(),
        **note,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    content = json.dumps({"digest": digest, **about}, indent=1).encode()
    return b"".join(
        header(name, len(data)) + data + bytes(-len(data) % 512)
        for name, data in ((bundle_file.IMAGES, packed), (bundle_file.NOTE, content))
    ) + bytes(1024)


def header(name: str, size: int) -> bytes:
    """The tar header of a plain file."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)
