# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import threading

import pytest
from local_hub import glb
from puppet_master.backend.download import FetchError, Patience, fetch_file
from puppet_master.backend.errors import Cancelled, OutputError
from puppet_master.data_gen.fetch.glb import check_glb

SIZE = 700_000
FILE = "glbs/000-000/a.glb"


@pytest.fixture
def file(hub, no_proxy, tmp_path):
    """(address, contents, target)."""
    hub.files[FILE] = glb(SIZE)
    return hub.address(FILE), hub.files[FILE], tmp_path / "a.glb"


def patience(**changes) -> Patience:
    return Patience(**{"retries": 3, "timeout": 5.0, "first_wait": 0.01, **changes})


def partials(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".partial"))


def test_file_comes_whole_and_verified(file):
    url, data, target = file
    counted = []
    found = fetch_file(url, target, patience(), check=check_glb, on_bytes=counted.append)
    assert target.read_bytes() == data
    assert (found.bytes, found.sha256) == (SIZE, hashlib.sha256(data).hexdigest())
    assert sum(counted) == SIZE
    assert partials(target.parent) == []


def test_broken_connection_is_resumed_where_it_broke(file, hub):
    url, data, target = file
    hub.faults[FILE] = [("break", 300_000), ("break", 200_000)]
    counted = []
    fetch_file(url, target, patience(), on_bytes=counted.append)
    assert target.read_bytes() == data
    assert hub.ranges == ["bytes=300000-", "bytes=500000-"]
    assert hub.sent[FILE] == SIZE
    assert sum(counted) == SIZE


def test_server_without_ranges_begins_anew(file, hub):
    url, data, target = file
    hub.ranged = False
    hub.faults[FILE] = [("break", 300_000)]
    fetch_file(url, target, patience())
    assert target.read_bytes() == data


def test_silent_connection_times_out_and_is_resumed(file, hub):
    url, data, target = file
    hub.faults[FILE] = [("stall", 300_000)]
    fetch_file(url, target, patience(timeout=0.3))
    assert target.read_bytes() == data


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_refusals_are_tried_again(file, hub, status):
    url, data, target = file
    hub.faults[FILE] = [status, status]
    fetch_file(url, target, patience())
    assert target.read_bytes() == data
    assert hub.asked[FILE] == 3


def test_lasting_refusal_ends_after_the_tries_and_says_so(file, hub):
    url, _, target = file
    hub.faults[FILE] = [503] * 9
    with pytest.raises(FetchError, match=r"answered 503 .*after 4 tries") as caught:
        fetch_file(url, target, patience())
    assert caught.value.status == 503
    assert not target.exists()


def test_file_that_is_not_there_is_not_tried_again(file, hub):
    _, _, target = file
    with pytest.raises(FetchError, match="404"):
        fetch_file(hub.address("glbs/000-000/none.glb"), target, patience())


def test_wrong_checksum_is_never_accepted(file, hub):
    url, _, target = file
    hub.checksums[FILE] = "0" * 64
    with pytest.raises(FetchError, match="came damaged: checksum"):
        fetch_file(url, target, patience(retries=1))
    assert not target.exists()
    assert partials(target.parent) == []
    assert hub.asked[FILE] == 2


def test_known_checksum_counts_more_than_the_servers(file, hub):
    url, data, target = file
    hub.plain = True
    assert fetch_file(url, target, patience(), hashlib.sha256(data).hexdigest()).bytes == SIZE
    with pytest.raises(FetchError, match="checksum"):
        fetch_file(url, target.with_name("b.glb"), patience(retries=0), "1" * 64)


def test_without_a_checksum_the_files_own_length_decides(file, hub):
    url, data, target = file
    hub.plain = True
    hub.files[FILE] = data[:-5]
    with pytest.raises(FetchError, match="its own header says 700000"):
        fetch_file(url, target, patience(retries=0), check=check_glb)
    assert not target.exists()


def test_page_instead_of_a_model_is_refused(file, hub):
    url, _, target = file
    hub.files[FILE] = b"<html>Sign in</html>"
    with pytest.raises(FetchError, match="no GLB file"):
        fetch_file(url, target, patience(retries=0), check=check_glb)


def test_partial_file_of_another_version_is_not_continued(file, hub):
    url, _, target = file
    hub.faults[FILE] = [("break", 300_000)]
    with pytest.raises(FetchError):
        fetch_file(url, target, patience(retries=0))
    assert len(partials(target.parent)) == 1
    hub.files[FILE] = glb(SIZE, seed=1)
    fetch_file(url, target, patience())
    assert target.read_bytes() == hub.files[FILE]
    assert hub.ranges == []


def test_partial_file_longer_than_the_file_is_thrown_away(file):
    url, data, target = file
    partial = target.with_name(f".{target.name}.{hashlib.sha256(data).hexdigest()[:16]}.partial")
    partial.write_bytes(data + b"more")
    fetch_file(url, target, patience())
    assert target.read_bytes() == data
    assert partials(target.parent) == []


def test_unreachable_server_is_named(no_proxy, tmp_path):
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:1 cannot be reached"):
        fetch_file("http://127.0.0.1:1/x", tmp_path / "x", patience(retries=1))


def test_redirects_without_end_are_noticed(file, hub):
    _, _, target = file
    hub.answer = lambda request: hub._head(request, 302, {"Location": request.path})
    with pytest.raises(FetchError, match="redirects without end"):
        fetch_file(hub.url + "/x", target, patience(retries=0))


def test_redirect_out_of_the_web_is_refused(file, hub):
    _, _, target = file
    hub.answer = lambda request: hub._head(request, 302, {"Location": "file:///etc/passwd"})
    with pytest.raises(FetchError, match="no web address"):
        fetch_file(hub.url + "/x", target, patience(retries=0))


def test_full_disk_is_an_output_error(file):
    url, _, target = file
    with pytest.raises(OutputError, match="cannot write"):
        fetch_file(url, target.parent / "nowhere" / "a.glb", patience())


def test_stop_ends_a_download_and_keeps_what_came(file, hub):
    url, data, target = file
    stop = threading.Event()
    with pytest.raises(Cancelled):
        fetch_file(url, target, patience(stop=stop), on_bytes=lambda count: count and stop.set())
    assert not target.exists()
    assert len(partials(target.parent)) == 1
    fetch_file(url, target, patience())
    assert target.read_bytes() == data
    assert hub.ranges
