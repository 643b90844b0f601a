"""Facts of the machine of an engine that is reached by ssh."""

from __future__ import annotations

from devenv.doctor.other_machine import read

PRINTED = """Filesystem     1024-blocks     Used Available Capacity Mounted on
/dev/vda          60000000 29000000  31000000      49% /var/lib/docker
port 22
maxsessions 10
maxstartups 10:30:100
"""


def test_what_the_machine_prints() -> None:
    """Free bytes and sessions are read, and left out if they are not printed."""
    assert read(PRINTED) == {"free": 31_000_000 * 1024, "sessions": 10}
    assert read("") == {}
