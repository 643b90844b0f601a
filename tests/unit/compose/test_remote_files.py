"""What replaces files that the engine does not see: watch rules for bind mounts, copies of configs and secrets."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.compose.parse import parse
from devenv.compose.remote_files import (
    FILES_LABEL,
    HostPath,
    Kind,
    RemoteFiles,
    mounted_files,
    needs_files,
    replaced,
    sources,
    without_mounts,
)
from devenv.model.project import Action, Project, WatchRule

FOLDER = "/p"


def bind(source: str, target: str, **more: Any) -> dict[str, Any]:
    """An entry of `volumes` in the resolved model."""
    return {"type": "bind", "source": source, "target": target, "bind": {"create_host_path": True}, **more}


def model(services: dict[str, Any], **top_level: Any) -> dict[str, Any]:
    """A resolved model with these services."""
    return {"name": "p", "services": {name: {"image": "i", **s} for name, s in services.items()}, **top_level}


def outcome(given: dict[str, Any], **paths: HostPath) -> tuple[Project, RemoteFiles]:
    """What replaces the files of all services; other paths are folders with files. `a_b` stands for `/p/a/b`."""
    project = parse(given, directory=FOLDER, files=("compose.yml",))
    known = {f"{FOLDER}/{name.replace('_', '/')}": path for name, path in paths.items()}
    named = sources(given, project, given["services"])
    facts = {path: known.get(path, HostPath(path, Kind.FOLDER)) for path in named}
    return replaced(given, project, list(given["services"]), facts)


def refusals(given: dict[str, Any], **paths: HostPath) -> list[tuple[str, str]]:
    """The messages and the advice about what is refused."""
    return [(remark.message, remark.advice) for remark in outcome(given, **paths)[1].refused]


def test_a_bind_mount_becomes_a_watch_rule() -> None:
    """A folder or a single file; the rule has the files there before the start, whatever the settings say."""
    mounts = [bind("/p/src", "/srv"), bind("/p/app.conf", "/etc/app.conf", read_only=True)]
    given = model({"web": {"volumes": [*mounts, {"type": "volume", "source": "v", "target": "/v"}]}})
    project, remote = outcome(given, app=HostPath("/p/app.conf", Kind.FILE))
    web = project.service("web")
    assert web.watch == (
        WatchRule("/p/src", Action.SYNC, "/srv", initial_sync=True),
        WatchRule("/p/app.conf", Action.SYNC, "/etc/app.conf", initial_sync=True),
    )
    assert [mount.target for mount in web.volumes] == ["/v"]
    assert remote.mounts == {("web", 0): "/srv", ("web", 1): "/etc/app.conf"}
    assert [(remark.entry, remark.message) for remark in remote.replaced] == [
        ("/srv", "./src is synced into web in place of the bind mount; what web writes there stays there"),
        ("/etc/app.conf", "./app.conf is synced into web in place of the bind mount"),
    ]
    assert without_mounts(given, remote)["services"]["web"]["volumes"] == given["services"]["web"]["volumes"][2:]
    assert len(given["services"]["web"]["volumes"]) == 3


def test_other_services_keep_their_mounts() -> None:
    """Services that are not started are neither changed nor refused."""
    given = model({"web": {"volumes": [bind("/p/src", "/srv")]}, "db": {"volumes": [bind("/x", "/x")]}})
    project = parse(given, directory=FOLDER, files=())
    after, remote = replaced(given, project, ["web"], {"/p/src": HostPath("/p/src", Kind.FOLDER)})
    assert after.service("db") == project.service("db")
    assert not remote.refused
    assert without_mounts(given, remote)["services"]["db"] == given["services"]["db"]


def test_a_rule_of_the_project_is_not_repeated() -> None:
    """Its own rule for the path stands in place of the mount, and has the first content, too."""
    rule = {"path": "/p/src", "action": "sync+restart", "target": "/srv/", "ignore": ["*.log"]}
    given = model({"web": {"volumes": [bind("/p/src", "/srv")], "develop": {"watch": [rule]}}})
    project, remote = outcome(given)
    (only,) = project.service("web").watch
    assert (only.action, only.ignore, only.initial_sync) == (Action.SYNC_RESTART, ("*.log",), True)
    assert remote.mounts == {("web", 0): "/srv"}
    assert "by its watch rule" in remote.replaced[0].message


@pytest.mark.parametrize(
    "rule",
    [
        {"path": "/p/src", "action": "restart"},
        {"path": "/p/src/a", "action": "sync", "target": "/srv/a"},
        {"path": "/p/src", "action": "sync", "target": "/other"},
    ],
)
def test_another_rule_does_not_stand_in_for_a_mount(rule: dict[str, Any]) -> None:
    """A rule that copies nothing, a part, or to another target is not enough."""
    given = model({"web": {"volumes": [bind("/p/src", "/srv")], "develop": {"watch": [rule]}}})
    project, _ = outcome(given)
    assert [r.target for r in project.service("web").watch][1:] == ["/srv"]


def test_what_other_mounts_hide_is_not_synced() -> None:
    """Volumes, tmpfs, configs and other bind mounts below the target hide the files of the mount."""
    given = model(
        {
            "web": {
                "volumes": [
                    bind("/p", "/app"),
                    bind("/p/conf", "/app/conf"),
                    {"type": "volume", "target": "/app/node_modules"},
                ],
                "tmpfs": ["/app/tmp[1]:size=1m"],
                "configs": [{"source": "site", "target": "/app/site.txt"}],
            }
        },
        configs={"site": {"file": "/p/site"}},
    )
    project, _ = outcome(given, site=HostPath("/p/site", Kind.FILE))
    whole, conf = project.service("web").watch
    assert set(whole.ignore) == {"conf", "node_modules", "tmp\\[1]", "site.txt"}
    assert not conf.ignore


def test_generated_files_are_left_out_if_the_image_is_built() -> None:
    """An image that is built has its own; without a build they can only come from here."""
    path = HostPath("/p/src", Kind.FOLDER, made=("**/node_modules/",))
    for service, expected in (({"build": {"context": "/p"}}, ("**/node_modules/",)), ({}, ())):
        given = model({"web": {**service, "volumes": [bind("/p/src", "/srv")]}})
        project, _ = outcome(given, src=path)
        assert project.service("web").watch[0].ignore == expected


def test_a_link_is_followed() -> None:
    """The rule is for the target of a link, as a mount would be."""
    given = model({"web": {"volumes": [bind("/p/current", "/srv")]}})
    project, _ = outcome(given, current=HostPath("/p/releases/5", Kind.FOLDER))
    assert project.service("web").watch[0].path == "/p/releases/5"


@pytest.mark.parametrize(
    ("mount", "path", "message", "advice"),
    [
        (bind("/var/run/docker.sock", "/s"), None, "mounts the socket /var/run/docker.sock", "leave web out"),
        (bind("/p/src", "/s"), HostPath("/p/src", Kind.SOCKET), "mounts the socket ./src", "leave web out"),
        (bind("/dev/ttyUSB0", "/dev/t"), None, "mounts the device /dev/ttyUSB0", "leave web out"),
        (bind("/p/src", "/s"), HostPath("/p/src", Kind.OTHER), "mounts ./src, a pipe", "mount a file"),
        (bind("/etc/hosts", "/h"), None, "mounts /etc/hosts, which is outside of the project", "move it into"),
        (bind("/px", "/h"), HostPath("/px", Kind.FILE), "mounts /px, which is outside", "a secret or a config"),
        (bind("/p/src", "/s"), HostPath("/x", Kind.FOLDER), "a link to /x outside of the project", "move it into"),
        (bind("/p/src", "/s"), HostPath("/p/src", Kind.LOST), "mounts ./src, which does not exist", "create it"),
        (
            {**bind("/p/src", "/s"), "bind": {}},
            HostPath("/p/src", Kind.MISSING),
            "mounts ./src, which does not exist",
            "create it",
        ),
        (bind("/p/src", "/s"), HostPath("/p/src", Kind.MISSING), "writes its data into ./src", "`- src:/s`"),
        (
            bind("/p/src", "/s"),
            HostPath("/p/src", Kind.FOLDER, is_empty=True),
            "writes its data into ./src",
            "use a volume: `- src:/s`",
        ),
        (bind("/p/src", "/var/lib/mysql"), None, "writes its data into ./src", "`- src:/var/lib/mysql`"),
        (bind("/p/src", "/var/lib/postgresql/18/docker"), None, "writes its data into ./src", "use a volume"),
        (
            bind("/p/src", "/s"),
            HostPath("/p/src", Kind.FILE, unreadable="permission denied"),
            "mounts ./src, which cannot be read: permission denied",
            "sudo chown -R $USER ./src",
        ),
    ],
)
def test_what_cannot_be_replaced_is_refused(
    mount: dict[str, Any], path: HostPath | None, message: str, advice: str
) -> None:
    """Each with the reason and what to do; the mount stays in the model."""
    given = model({"web": {"volumes": [mount]}})
    project = parse(given, directory=FOLDER, files=())
    source = mount["source"]
    kind = Kind.LOST if source.endswith(".sock") else Kind.DEVICE if "tty" in source else Kind.FOLDER
    after, remote = replaced(given, project, ["web"], {source: path or HostPath(source, kind)})
    (remark,) = remote.refused
    assert message in remark.message
    assert advice in remark.advice
    assert (remark.path, remark.entry) == (("services", "web", "volumes"), mount["target"])
    assert after.service("web").volumes == project.service("web").volumes


@pytest.mark.parametrize(
    ("image", "target", "read_only", "is_refused"),
    [
        ("redis:8", "/data", False, True),
        ("example.com/x/minio:1", "/data", False, True),
        ("redis:8", "/data", True, False),
        ("python:3.13", "/data", False, False),
        ("grafana/grafana", "/var/lib/grafana", False, True),
        ("grafana/grafana", "/var/lib/grafana/dashboards", False, False),
        ("mysql:9", "/docker-entrypoint-initdb.d", False, False),
        ("postgres:17", "/etc/postgresql", False, False),
    ],
)
def test_only_folders_of_data_are_refused(image: str, target: str, *, read_only: bool, is_refused: bool) -> None:
    """Settings and sources next to them are synced, and so is what the service cannot write."""
    given = model({"web": {"image": image, "volumes": [bind("/p/src", target, read_only=read_only)]}})
    assert bool(refusals(given)) is is_refused


def test_paths_of_every_machine_stay_mounted() -> None:
    """The time zone, /proc and common devices mean the engine's machine."""
    mounts = [bind("/etc/localtime", "/etc/localtime", read_only=True), bind("/proc", "/host/proc")]
    given = model({"web": {"volumes": mounts, "devices": ["/dev/fuse", {"source": "/dev/net/tun", "target": "/x"}]}})
    project = parse(given, directory=FOLDER, files=())
    assert not needs_files(given, project, ["web"])
    project, remote = outcome(given)
    assert len(project.service("web").volumes) == 2
    assert remote == RemoteFiles()


def test_devices_and_folders_as_volumes_are_refused() -> None:
    """Both name a path of this machine."""
    given = model(
        {"web": {"devices": ["/dev/ttyS0:/dev/x", "nvidia.com/gpu=all"], "volumes": [
            {"type": "volume", "source": "v", "target": "/v"}]}},
        volumes={"v": {"driver_opts": {"type": "none", "o": "bind", "device": "/p/v"}}, "other": None},
    )  # fmt: skip
    assert [message for message, _ in refusals(given)] == [
        "`web` uses the device /dev/ttyS0, which is that of the engine's machine",
        "the volume `v` is the folder ./v",
    ]
    given["volumes"]["v"]["driver_opts"]["device"] = "/srv/v"  # a path of the engine's machine
    assert len(refusals(given)) == 1


FILES = {
    "configs": {"site": {"file": "/p/site"}, "text": {"content": "a $$b"}, "env": {"environment": "CENV"}},
    "secrets": {"tok": {"file": "/p/tok"}, "var": {"environment": "TOK"}, "built": {"file": "/p/built"}},
}


def test_files_of_configs_and_secrets() -> None:
    """Targets, owners and permissions as written, in the forms that Compose prints."""
    service = {
        "configs": [
            {"source": "site"},
            {"source": "site", "target": "/etc/s", "uid": "33", "gid": "7", "mode": 256},
            {"source": "text"},
            {"source": "env", "target": "/e"},
        ],
        "secrets": [{"source": "tok", "mode": "0440"}, {"source": "tok", "target": "t"}, {"source": "var"}],
    }
    files = list(mounted_files(model({"web": service}, **FILES), "web"))
    assert [(f.kind, f.name, f.source, f.target, f.uid, f.gid, f.mode) for f in files] == [
        ("configs", "site", "/p/site", "/site", 0, 0, None),
        ("configs", "site", "/p/site", "/etc/s", 33, 7, 0o400),
        ("secrets", "tok", "/p/tok", "/run/secrets/tok", 0, 0, 0o440),
        ("secrets", "tok", "/p/tok", "/run/secrets/t", 0, 0, None),
    ]
    assert [oct(f.permissions(0o755)) for f in files] == ["0o555", "0o400", "0o440", "0o555"]
    assert files[0].permissions(0o600) == 0o444


def test_values_with_an_owner_are_copied() -> None:
    """Compose gives them to the container's user; others are left to Compose. No message shows the content."""
    service = {
        "configs": [{"source": "text", "uid": "1"}, {"source": "text", "target": "/t"}],
        "secrets": [{"source": "var", "gid": "2"}],
    }
    given = model({"web": service}, **FILES)
    files = list(mounted_files(given, "web"))
    assert [(f.source, f.content, f.is_on_disk) for f in files] == [("", "a $b", False), ("$TOK", "", False)]
    assert "a $b" not in repr(files)
    project = parse(given, directory=FOLDER, files=())
    _, remote = replaced(given, project, ["web"], {"$TOK": HostPath("$TOK", Kind.LOST)})
    assert [remark.message for remark in remote.refused] == ["the secret `var` is the variable TOK, which is not set"]
    after = without_mounts(given, remote)
    assert after["services"]["web"]["configs"] == [{"source": "text", "target": "/t"}]
    assert "secrets" not in after["services"]["web"]
    assert after["configs"] == {"text": {"content": "a $$b"}}


def test_the_model_has_no_file_of_this_machine() -> None:
    """Definitions stay for builds alone; the label changes with names and targets, never with the content."""
    build = {"context": ".", "secrets": [{"source": "built"}]}
    labels = []
    for mode in (256, 256, 288):
        secrets = [{"source": "tok", "mode": mode}]
        given = model({"web": {"build": build, "secrets": secrets, "labels": {"a": "b"}}}, **FILES)
        file = HostPath("/p/tok", Kind.FILE)
        after = without_mounts(given, outcome(given, tok=file)[1])
        labels.append(after["services"]["web"]["labels"][FILES_LABEL])
        assert after["services"]["web"]["labels"]["a"] == "b"
        assert after["secrets"] == {"built": {"file": "/p/built"}}
        assert after["configs"] == {}
    assert labels[0] == labels[1] != labels[2]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (HostPath("/p/tok", Kind.MISSING), "the secret `tok` is ./tok, which does not exist"),
        (HostPath("/p/tok", Kind.SOCKET), "the secret `tok` is ./tok, which is a socket"),
        (
            HostPath("/p/tok", Kind.FILE, unreadable="permission denied"),
            "the secret `tok` is ./tok, which cannot be read: permission denied",
        ),
    ],
)
def test_files_that_cannot_be_copied(path: HostPath, message: str) -> None:
    """The place is that of the definition."""
    given = model({"web": {"secrets": [{"source": "tok"}]}}, **FILES)
    _, remote = outcome(given, tok=path)
    assert [(r.path, r.message) for r in remote.refused] == [(("secrets", "tok", "file"), message)]


def test_a_file_outside_of_the_project_may_be_a_secret() -> None:
    """It is read once, for the container alone."""
    given = model({"web": {"secrets": [{"source": "tok"}]}}, secrets={"tok": {"file": "/home/me/tok"}})
    project = parse(given, directory=FOLDER, files=())
    _, remote = replaced(given, project, ["web"], {"/home/me/tok": HostPath("/home/me/tok", Kind.FILE)})
    assert [r.message for r in remote.replaced] == ["the secret `tok` is copied into web from /home/me/tok"]
