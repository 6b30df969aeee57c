"""`teleward data physionet2019` against a server on loopback with made-up files: nothing is asked of the network."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.fetching import (
    LISTING,
    FetchSettings,
    fetch_physionet2019,
    read_listing,
    show_fetched,
)
from deploy.fetching_disk import FetchError
from transport.recordings import open_recording

HEADER = "HR|O2Sat|Temp|SBP|MAP|DBP|Resp|Age|Gender|ICULOS|SepsisLabel\n"


def patient(seed: int) -> bytes:
    """A made-up stay of thirty hours: a kilobyte."""
    rows = [f"{60 + (seed + t) % 40}|97|NaN|120|85|70|{14 + t % 5}|{40 + seed}|{seed % 2}|{t}|0" for t in range(1, 31)]
    return (HEADER + "\n".join(rows) + "\n").encode()


A1, A2, B1 = (
    "training/training_setA/p000001.psv",
    "training/training_setA/p000002.psv",
    "training/training_setB/p100001.psv",
)

Trick = Callable[["Handler", bytes], bool]


class Handler(BaseHTTPRequestHandler):
    """Serves a table of files, with ranges; a trick may answer instead."""

    protocol_version = "HTTP/1.1"
    server: Published

    def do_GET(self) -> None:
        path = self.path.removeprefix("/files/challenge-2019/1.0.0/")
        start = int((re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-")) or [0, 0])[1])
        with self.server.lock:
            self.server.asked.append((path, start))
            tricks = self.server.tricks.get(path, [])
            trick = tricks.pop(0) if tricks else None
        content = self.server.files.get(path)
        if content is None:
            self.answer(404, b"no such file")
            return
        if trick is not None and trick(self, content):
            return
        if start and self.server.ranges:
            if start >= len(content):
                self.answer(416, b"")
            else:
                place = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.answer(206, content[start:], {"Content-Range": place})
        else:
            self.answer(200, content)

    def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None, says: int | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if says is None else says))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing: what was asked is in `asked`."""


class Published(ThreadingHTTPServer):
    """The site, made up."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.files: dict[str, bytes] = {}
        self.tricks: dict[str, list[Trick]] = {}
        self.asked: list[tuple[str, int]] = []
        self.ranges = True
        self.publish({A1: patient(1), A2: patient(2), B1: patient(3)})

    def publish(self, files: dict[str, bytes], extra: str = "") -> None:
        self.files = dict(files)
        lines = [f"{hashlib.sha256(body).hexdigest()} {path}\n" for path, body in files.items()]
        self.files[LISTING] = ("".join(lines) + extra).encode()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/challenge-2019/1.0.0/"

    def asked_for(self, path: str) -> list[int]:
        """From which byte on a file was asked for, each time."""
        return [start for asked, start in self.asked if asked == path]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of these tests."""


@pytest.fixture
def site(monkeypatch) -> Iterator[Published]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = Published()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Waits:
    """Pauses that take no time, and are remembered."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def fetch(site, waits, tmp_path):
    """Fetch everything into a folder, without pauses."""

    def run(out: Path = tmp_path / "out", base: str = "", **settings):
        return fetch_physionet2019(out, base or site.base, settings=FetchSettings(pause=waits, **settings))

    return run


def cut(at: int) -> Trick:
    """Announce the whole file and break off."""

    def trick(handler: Handler, content: bytes) -> bool:
        handler.answer(200, content[:at], says=len(content))
        handler.close_connection = True
        return True

    return trick


def code(status: int, **headers: str) -> Trick:
    def trick(handler: Handler, _content: bytes) -> bool:
        handler.answer(status, b"", {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return trick


def wrong(handler: Handler, content: bytes) -> bool:
    """Other bytes of the same length."""
    handler.answer(200, b"x" * len(content))
    return True


def test_both_sets_are_fetched_and_can_be_opened(site, fetch, tmp_path):
    progress: list[tuple[int, int]] = []
    result = fetch_physionet2019(tmp_path / "a" / "b", site.base, lambda *now: progress.append(now))
    assert result == {
        "out": str(tmp_path / "a" / "b"), "from": site.base, "listed": 3, "there": 0, "fetched": 3, "continued": 0,
        "retries": 0, "patients": {"training_setA": 2, "training_setB": 1},
    }  # fmt: skip
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert open_recording(tmp_path / "a" / "b" / "training_setA").patients == ("p000001", "p000002")
    assert not list(tmp_path.rglob("*.part"))


def test_the_licence_is_said_before_anything_is_asked_and_lies_beside_the_data(site, tmp_path):
    said: list[tuple[str, int]] = []
    fetch_physionet2019(tmp_path, site.base, say=lambda line: said.append((line, len(site.asked))))
    notice, asked = said[0]
    assert asked == 0
    assert "Licence" in notice
    assert "10.13026/v64v-d857" in notice
    assert (tmp_path / "NOTICE.txt").read_text(encoding="utf-8") == notice


def test_a_listing_shorter_than_what_was_published_is_told(site, tmp_path):
    said: list[str] = []
    fetch_physionet2019(tmp_path, site.base, say=said.append)
    assert said[1:] == [
        "training_setA: the listing names 2 patients; 20336 were published",
        "training_setB: the listing names 1 patients; 20000 were published",
    ]


def test_the_checksums_are_left_as_the_files_lie(fetch, tmp_path):
    fetch()
    lines = (tmp_path / "out" / LISTING).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    for line in lines:
        digest, path = line.split("  ")
        assert hashlib.sha256((tmp_path / "out" / path).read_bytes()).hexdigest() == digest


def test_the_sites_own_licence_comes_along_where_it_is_listed(site, fetch, tmp_path):
    site.publish({A1: patient(1), "LICENSE.txt": b"be kind"})
    assert fetch()["patients"] == {"training_setA": 1, "training_setB": 0}
    assert (tmp_path / "out" / "LICENSE.txt").read_bytes() == b"be kind"


def test_what_is_there_is_not_fetched_again(site, fetch):
    fetch()
    site.asked.clear()
    result = fetch()
    assert (result["there"], result["fetched"]) == (3, 0)
    assert site.asked == [(LISTING, 0)]


def test_a_file_with_a_wrong_checksum_is_replaced(site, fetch, tmp_path):
    fetch()
    spoiled = tmp_path / "out" / "training_setA" / "p000001.psv"
    spoiled.write_bytes(b"somebody's notes")
    assert (fetch()["there"], spoiled.read_bytes()) == (2, patient(1))


def test_a_part_is_gone_on_with(site, fetch, tmp_path):
    part = tmp_path / "out" / "training_setA" / "p000001.psv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(patient(1)[:300])
    result = fetch()
    assert site.asked_for(A1) == [300]
    assert (result["continued"], result["retries"]) == (1, 0)
    assert part.with_suffix("").read_bytes() == patient(1)


def test_a_part_is_begun_anew_where_the_server_knows_no_ranges(site, fetch, tmp_path):
    site.ranges = False
    part = tmp_path / "out" / "training_setA" / "p000001.psv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(patient(1)[:300])
    assert fetch()["continued"] == 0
    assert site.asked_for(A1) == [300]
    assert part.with_suffix("").read_bytes() == patient(1)


def test_a_part_of_something_else_is_found_out_and_fetched_whole(site, fetch, tmp_path):
    part = tmp_path / "out" / "training_setA" / "p000001.psv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 300)
    fetch()
    assert site.asked_for(A1) == [300, 0]
    assert part.with_suffix("").read_bytes() == patient(1)


@pytest.mark.parametrize("more", [0, 100])
def test_a_part_as_long_as_the_file_or_longer_is_begun_anew(site, fetch, tmp_path, more):
    part = tmp_path / "out" / "training_setA" / "p000001.psv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(patient(1)) + more))
    fetch()
    assert site.asked_for(A1) == [len(patient(1)) + more, 0]
    assert part.with_suffix("").read_bytes() == patient(1)


def test_a_whole_part_is_only_renamed(site, fetch, tmp_path):
    part = tmp_path / "out" / "training_setA" / "p000001.psv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(patient(1))
    fetch()
    assert site.asked_for(A1) == []
    assert part.with_suffix("").read_bytes() == patient(1)


def test_a_range_that_begins_elsewhere_is_not_believed(site, fetch, tmp_path):
    def elsewhere(handler: Handler, content: bytes) -> bool:
        handler.answer(206, content[200:], {"Content-Range": f"bytes 200-{len(content) - 1}/{len(content)}"})
        return True

    site.tricks[A1] = [elsewhere]
    part = tmp_path / "out" / "training_setA" / "p000001.psv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(patient(1)[:300])
    fetch()
    assert site.asked_for(A1) == [300, 0]
    assert part.with_suffix("").read_bytes() == patient(1)


def test_a_broken_transfer_goes_on_where_it_broke(site, fetch, waits, tmp_path):
    site.tricks[A1] = [cut(500)]
    result = fetch()
    assert site.asked_for(A1) == [0, 500]
    assert waits.pauses == [1.0]
    assert (result["retries"], result["continued"]) == (1, 1)
    assert (tmp_path / "out" / "training_setA" / "p000001.psv").read_bytes() == patient(1)


def test_who_brings_more_bytes_each_time_is_not_given_up(site, fetch, waits):
    def bit_by_bit(handler: Handler, content: bytes) -> bool:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        place = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        handler.answer(206 if start else 200, content[start : start + 50], place, says=len(content) - start)
        handler.close_connection = True
        return True

    site.tricks[A1] = [bit_by_bit] * 10
    assert fetch(tries=2)["retries"] == 10
    assert site.asked_for(A1) == [50 * i for i in range(11)]
    assert waits.pauses == [1.0] * 10


def test_pauses_grow_and_do_as_the_server_asks_within_bounds(site, fetch, waits):
    site.publish({A1: patient(1)})
    site.tricks[A1] = [code(503), code(503), code(429, Retry_After="30"), code(503, Retry_After="86400")]
    assert fetch()["retries"] == 4
    assert waits.pauses == [1.0, 2.0, 30.0, 60.0]


def test_a_wrong_checksum_is_fetched_once_more(site, fetch, waits):
    site.tricks[A1] = [wrong]
    assert fetch()["fetched"] == 3
    assert site.asked_for(A1) == [0, 0]
    assert waits.pauses == []


def test_a_checksum_that_stays_wrong_is_refused_by_name_and_the_others_are_fetched(site, fetch, tmp_path):
    site.tricks[A1] = [wrong, wrong]
    with pytest.raises(FetchError, match=r"1 of 3 files were refused: .*p000001\.psv: fetched twice, and its checksum"):
        fetch()
    assert site.asked_for(A1) == [0, 0]
    there = sorted(file.name for file in (tmp_path / "out").rglob("*.psv*"))
    assert there == ["p000002.psv", "p100001.psv"]
    assert not (tmp_path / "out" / LISTING).exists()
    assert fetch()["fetched"] == 1


def test_files_that_are_not_there_are_named_once_the_others_are_fetched(site, fetch, waits, tmp_path):
    del site.files[A1], site.files[B1]
    with pytest.raises(
        FetchError, match=r"2 of 3 .*setA/p000001\.psv: there is no such file \(404\); so with .*setB/p1"
    ):
        fetch()
    assert (tmp_path / "out" / "training_setA" / "p000002.psv").exists()
    assert waits.pauses == []


def test_a_site_without_its_files_is_given_up_early(site, fetch):
    many = {f"training/training_setA/p{i:06d}.psv": patient(i) for i in range(100)}
    site.publish(many)
    site.files = {LISTING: site.files[LISTING]}
    with pytest.raises(FetchError, match="of 100 files were refused"):
        fetch(at_once=1)
    assert len(site.asked) == 21


def test_a_file_the_server_cannot_give_is_refused_after_all_tries_and_the_others_are_fetched(site, fetch, waits):
    site.tricks[A1] = [code(500)] * 9
    with pytest.raises(FetchError, match=r"1 of 3 .*p000001\.psv: the server answered 500, 3 times in a row"):
        fetch(tries=3)
    assert waits.pauses == [1.0, 2.0]
    assert len(site.asked_for(A2)) == len(site.asked_for(B1)) == 1


def test_a_server_that_says_nothing_is_asked_again(site, fetch):
    asked_again = threading.Event()

    def silence(_handler: Handler, _content: bytes) -> bool:
        assert asked_again.wait(30)
        return True

    def at_last(_handler: Handler, _content: bytes) -> bool:
        asked_again.set()
        return False

    site.tricks[A1] = [silence, at_last]
    result = fetch(timeout_s=0.25, tries=50)
    assert (result["fetched"], result["retries"] >= 1) == (3, True)


def test_a_server_that_never_says_anything_is_given_up(site, fetch, waits):
    over = threading.Event()

    def silence(_handler: Handler, _content: bytes) -> bool:
        assert over.wait(30)
        return True

    site.tricks[LISTING] = [silence] * 2
    try:
        with pytest.raises(
            FetchError, match=r"SHA256SUMS\.txt: no answer for 0\.05 s, 2 times in a row; check the net"
        ):
            fetch(timeout_s=0.05, tries=2)
    finally:
        over.set()


def test_without_a_network_the_sentence_says_where_it_wanted_to_go(fetch, waits):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, never listening: nobody else gets this port either
        where = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with pytest.raises(
            FetchError, match=rf"^{where}SHA256SUMS\.txt: cannot be reached .*5 times.*check the network"
        ):
            fetch(base=where)
    assert waits.pauses == [1.0, 2.0, 4.0, 8.0]


def test_an_address_without_a_listing_says_what_to_do(site, fetch):
    with pytest.raises(
        FetchError, match=r"no such file \(404\); --from takes the address of the folder that holds SHA25"
    ):
        fetch(base=site.base + "training")


def test_a_listing_of_something_else_is_refused(site, fetch):
    site.files[LISTING] = b"<html>Please log in</html>"
    with pytest.raises(FetchError, match="names no patient files of the challenge"):
        fetch()


@pytest.mark.parametrize("status", [401, 403])
def test_a_site_that_wants_a_login_is_not_asked_again(site, fetch, status):
    site.tricks[A1] = [code(status)] * 2
    with pytest.raises(FetchError, match=rf"does not give it to us \({status}\)"):
        fetch()
    assert len(site.asked_for(A1)) == 1


@pytest.mark.parametrize("base", ["physionet.org/files", "ftp://physionet.org/", "https:///x"])
def test_an_address_that_is_none_is_refused(fetch, base):
    with pytest.raises(FetchError, match=r"--from is .*; it takes an address that begins with https://"):
        fetch(base=base)


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_in_the_way_of_the_folder_is_named(fetch, tmp_path, below):
    (tmp_path / "notes").write_text("mine", encoding="utf-8")
    with pytest.raises(FetchError, match=r"notes.* is in the way: --out takes a folder"):
        fetch(tmp_path / "notes" / below)
    assert (tmp_path / "notes").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full (Linux)")
def test_a_full_disk_ends_it_with_a_sentence(fetch, tmp_path):
    part = tmp_path / "out" / "training_setA" / "p000001.psv.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"the disk is full at .*p000001\.psv\.part; both sets take about 350 MB"):
        fetch()


def test_no_more_than_allowed_are_fetched_at_once(site, fetch):
    site.publish({f"training/training_setA/p{i:06d}.psv": patient(i) for i in range(24)})
    now, most, together = 0, 0, threading.Barrier(3)

    def count(_handler: Handler, _content: bytes) -> bool:
        nonlocal now, most
        with site.lock:
            now += 1
            most = max(most, now)
        together.wait(30)  # nobody is answered before three have asked
        with site.lock:
            now -= 1
        return False

    site.tricks = {path: [count] for path in site.files if path != LISTING}
    assert fetch(at_once=3)["fetched"] == 24
    assert most == 3


def test_ctrl_c_leaves_what_the_next_run_goes_on_with(site, fetch, tmp_path):
    async def ctrl_c(_seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    site.tricks[A2] = [cut(400)]
    with pytest.raises(KeyboardInterrupt):
        fetch_physionet2019(tmp_path / "out", site.base, settings=FetchSettings(at_once=1, pause=ctrl_c))
    folder = tmp_path / "out" / "training_setA"
    assert sorted(file.name for file in folder.iterdir()) == ["p000001.psv", "p000002.psv.part"]
    assert (folder / "p000002.psv.part").read_bytes() == patient(2)[:400]
    result = fetch()
    assert (result["there"], result["fetched"], result["continued"]) == (1, 2, 1)
    assert site.asked_for(A2) == [0, 400]
    assert site.asked_for(A1) == [0]


def test_a_listing_cannot_name_a_place_outside_the_folder():
    digest = "a" * 64
    lines = [
        f"{digest} ../training_setA/p000001.psv",
        f"{digest} /training_setA/p000001.psv",
        f"{digest} training_setA/../../p000001.psv",
        f"{digest} http://elsewhere/training_setA/p000001.psv",
        f"{digest} training_setC/p000001.psv",
        f"{digest} LICENSE.txt/x",
        f"{digest[1:]} training_setA/p000001.psv",
    ]
    with pytest.raises(FetchError):
        read_listing("\n".join(lines), "here")


def test_a_listing_is_read_with_any_blanks_and_any_folder_above_the_sets():
    digest = "AB" * 32
    found = read_listing(
        f"{digest} training_setA/p000002.psv\r\n{digest} *./x/training_setB/p100001.psv\n{digest}  index.html\n", "here"
    )
    assert [(entry.path, entry.to, entry.digest) for entry in found] == [
        ("training_setA/p000002.psv", "training_setA/p000002.psv", digest.lower()),
        ("x/training_setB/p100001.psv", "training_setB/p100001.psv", digest.lower()),
    ]


@pytest.mark.parametrize(
    "wrong_one", [{"at_once": 0}, {"at_once": 17}, {"tries": 0}, {"timeout_s": 0.0}, {"pause_s": -1.0}]
)
def test_settings_that_make_no_sense_are_refused(wrong_one):
    with pytest.raises(ValueError, match=r"takes|above 0"):
        FetchSettings(**wrong_one)


def test_the_result_is_told_in_a_line(fetch, capsys):
    show_fetched(fetch())
    line = capsys.readouterr().out
    assert line.endswith("0 were there, 3 fetched; patients: 2 in training_setA, 1 in training_setB\n")
