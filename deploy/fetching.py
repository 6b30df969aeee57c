"""``teleward data physionet2019``: fetches the published patient files of the 2019 challenge, checked and resumable.

How the files are published, and how we know (PhysioNet cannot be reached from where this was written):

- Confirmed by many public repositories that fetch them, and by the challenge's page as others have stored it: the base
  address; ``training/training_setA/p000001.psv`` and ``training/training_setB/p100001.psv`` below it, six digits each;
  20,336 files in A and 20,000 in B; no login (a few say that they used one).
- Confirmed for other PhysioNet projects (SleepECG and tinysleepnet fetch by it): ``SHA256SUMS.txt`` below the base
  address, a line a file: the digest, blanks, the path relative to the base. That this project has it is not confirmed.
- Not confirmed: that the site answers Range requests, and which codes it sends when there are too many of them. Both
  are taken as they come.

So nothing here depends on the folder above ``training_setA``: paths are taken from the listing.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from deploy.fetching_disk import FetchError, FileRefusedError, PassingError, digest_of, on_disk, remove, size_of

if TYPE_CHECKING:
    from deploy.fetching_http import Site

CHALLENGE_URL: Final = "https://physionet.org/files/challenge-2019/1.0.0/"
LISTING: Final = "SHA256SUMS.txt"
PUBLISHED: Final = {"training_setA": 20_336, "training_setB": 20_000}

NOTICE: Final = """\
PhysioNet/CinC Challenge 2019, training sets A and B (v1.0.0): hourly records of 40,336 stays in intensive care.

Licence: what https://physionet.org/content/challenge-2019/view-license/1.0.0/ says; read it before you use the data.
Others quote that page as Creative Commons Attribution 4.0. It could not be read where Teleward was written, so
Teleward keeps to the stricter Open Data Commons Open Database License 1.0: attribution, share-alike for derived
databases, a notice on what is made from them (trained weights, figures).
The patients are de-identified: make no attempt to identify them.

Cite:
  Reyna MA, Josef CS, Jeter R, Shashikumar SP, Westover MB, Nemati S, Clifford GD, Sharma A. Early Prediction of Sepsis
  From Clinical Data: The PhysioNet/Computing in Cardiology Challenge 2019. Crit Care Med 48(2):210-217 (2020).
  https://doi.org/10.1097/CCM.0000000000004145
  Reyna M, Josef C, Jeter R, Shashikumar S, Moody B, Westover MB, Sharma A, Nemati S, Clifford GD. Early Prediction of
  Sepsis from Clinical Data: The PhysioNet/Computing in Cardiology Challenge 2019 (version 1.0.0). PhysioNet (2019).
  https://doi.org/10.13026/v64v-d857
  Goldberger A, et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220 (2000).
"""

# A listing's line. The path is taken apart here, and nothing but these names is ever written: "../" cannot get through.
_LINE: Final = re.compile(
    r"(?P<digest>[0-9a-fA-F]{64})[ \t]+\*?(?:\./)?"
    r"(?P<path>(?:[\w-]+/)*(?P<folder>training_set[AB])/(?P<name>p\d{6}\.psv)|LICENSE\.txt)"
)
_ENOUGH_REFUSED: Final = 20  # then something is wrong with the address, not with a file

Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How to fetch.

    Attributes:
        at_once: Files fetched at the same time, 1 to 16: the site is a public good.
        tries: Attempts in a row that bring not one byte more, before a file is given up. At least 1.
        timeout_s: Longest silence of the server, in seconds; also for the connection.
        pause_s: First pause between attempts, in seconds; each further one is twice as long.
        longest_pause_s: No pause is longer, whatever the server asks for.
        pause: How to wait; the tests have their own.
    """

    at_once: int = 8
    tries: int = 5
    timeout_s: float = 30.0
    pause_s: float = 1.0
    longest_pause_s: float = 60.0
    pause: Pause = asyncio.sleep

    def __post_init__(self) -> None:
        if not 1 <= self.at_once <= 16:
            raise ValueError(f"at_once is {self.at_once}; it takes 1 to 16")
        if self.tries < 1:
            raise ValueError(f"tries is {self.tries}; it takes 1 or more")
        if not (self.timeout_s > 0 and self.pause_s > 0 and self.longest_pause_s > 0):
            raise ValueError(f"times are above 0, not {self.timeout_s}, {self.pause_s}, {self.longest_pause_s}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the listing.

    Attributes:
        path: Where it is, relative to the base address.
        to: Where it goes, relative to the folder: ``training_setA/p000001.psv``.
        digest: SHA-256, hexadecimal, small letters.
    """

    path: str
    to: str
    digest: str


@dataclass(slots=True)
class Account:
    """What became of the files; every one of the listing ends in `there`, `fetched` or `refused`."""

    of: int = 0
    there: int = 0
    fetched: int = 0
    continued: int = 0
    retries: int = 0
    refused: dict[str, str] = field(default_factory=dict)


def fetch_physionet2019(
    out: Path,
    base_url: str | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
    say: Callable[[str], None] = lambda _line: None,
    settings: FetchSettings | None = None,
) -> dict[str, Any]:
    """Fetch training sets A and B into ``out/training_setA`` and ``out/training_setB``.

    A file that is there with the right checksum is not fetched again; one that was begun (``.psv.part``) is gone on
    with by Range, where the server can; a wrong one is replaced. A name without ``.part`` is always a whole, checked
    file, so the run may be stopped or killed at any moment. One run at a time for a folder.

    The layout of the site, and what of it is confirmed, is told at the top of this module.

    Args:
        out: The folder; made where it is not. Beside the files it gets ``NOTICE.txt`` (licence, citation) and
            ``SHA256SUMS.txt`` with the paths as they lie here (``sha256sum -c SHA256SUMS.txt``).
        base_url: Address of the folder that holds `LISTING`; None is the challenge's own.
        on_progress: Called with files done and files listed, after each file.
        say: Takes lines for people; the first ones, before anything is asked of the network, are the notice.
        settings: How many at once, how patiently.

    Returns:
        `out`, `from`, the files `listed`, `there` before, `fetched` (of them `continued` after a part), the
        `retries` it took, and `patients` per set as listed.

    Raises:
        FetchError: If it is not all there at the end; the sentence says why and what to do.
    """
    base = _checked(base_url or CHALLENGE_URL)
    settings = settings or FetchSettings()
    say(NOTICE)
    with on_disk(out):
        for folder in PUBLISHED:
            (out / folder).mkdir(parents=True, exist_ok=True)
        (out / "NOTICE.txt").write_text(NOTICE, encoding="utf-8")
    return asyncio.run(_fetch(out, base, on_progress, say, settings))


async def _fetch(
    out: Path, base: str, on_progress: Callable[[int, int], None], say: Callable[[str], None], settings: FetchSettings
) -> dict[str, Any]:
    """The listing, then its files."""
    from deploy.fetching_http import Site

    account = Account()
    async with Site(base, settings.timeout_s) as site:
        entries = read_listing(await _listing(site, settings, account), site.url(LISTING))
        patients = Counter(dict.fromkeys(PUBLISHED, 0))
        patients.update(entry.to.split("/")[0] for entry in entries if "/" in entry.to)
        for name, count in patients.items():
            if count != PUBLISHED[name]:
                say(f"{name}: the listing names {count} patients; {PUBLISHED[name]} were published")
        account.of = len(entries)
        await _all(site, out, entries, on_progress, settings, account)
    if account.refused:
        raise FetchError(_refusal(account, out))
    with on_disk(out):
        (out / LISTING).write_text("".join(f"{e.digest}  {e.to}\n" for e in entries), encoding="utf-8")
    return {
        "out": str(out),
        "from": base,
        "listed": account.of,
        "there": account.there,
        "fetched": account.fetched,
        "continued": account.continued,
        "retries": account.retries,
        "patients": dict(patients),
    }


async def _listing(site: Site, settings: FetchSettings, account: Account) -> str:
    """The listing's text."""
    patience = _Patience(settings, account)
    while True:
        try:
            return await site.text(LISTING)
        except FileRefusedError as error:
            raise FetchError(
                f"{error}; --from takes the address of the folder that holds {LISTING}, and without checksums nothing "
                "is fetched"
            ) from error
        except PassingError as error:
            await patience.after(error, grew=False)


def read_listing(text: str, where: str) -> list[Entry]:
    """Read ``SHA256SUMS.txt``: the patient files of both sets and the licence; other lines are nothing to us.

    Raises:
        FetchError: If it names no patient file: a page that asks for a login, or another project's listing.
    """
    found = [match for line in text.splitlines() if (match := _LINE.fullmatch(line.strip()))]
    entries = {}
    for match in found:
        to = f"{match['folder']}/{match['name']}" if match["folder"] else match["path"]
        entries[to] = Entry(match["path"], to, match["digest"].lower())
    if not any("/" in to for to in entries):
        raise FetchError(f"{where} names no patient files of the challenge; check the address given with --from")
    return [entries[to] for to in sorted(entries)]


async def _all(
    site: Site,
    out: Path,
    entries: list[Entry],
    on_progress: Callable[[int, int], None],
    settings: FetchSettings,
    account: Account,
) -> None:
    """Fetch what is not there, a bounded number at once. The first hopeless thing ends it all."""
    todo = iter(entries)

    async def worker() -> None:
        for entry in todo:
            await _one(site, out, entry, settings, account)
            on_progress(account.there + account.fetched + len(account.refused), account.of)
            if len(account.refused) >= _ENOUGH_REFUSED:
                raise FetchError(_refusal(account, out))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(settings.at_once):
                group.create_task(worker())
    except ExceptionGroup as group_error:
        hopeless = next((error for error in group_error.exceptions if isinstance(error, FetchError)), None)
        if hopeless is None:
            raise
        raise hopeless from group_error


async def _one(site: Site, out: Path, entry: Entry, settings: FetchSettings, account: Account) -> None:
    """One file, unless it is there. What is wrong with this file alone is booked, not raised."""
    final, part = out / entry.to, out / f"{entry.to}.part"
    if digest_of(final) == entry.digest:
        remove(part)
        account.there += 1
        await asyncio.sleep(0)  # 40,000 of these must not keep Ctrl-C waiting
        return
    went_on = False
    try:
        # What was begun may be of another version, or broken on the way: once more from nothing decides.
        for _ in range(2):
            if digest_of(part) != entry.digest:  # it may be whole: a run was killed before it could say so
                went_on = await _whole(site, entry, part, settings, account)
            if digest_of(part) == entry.digest:
                with on_disk(final):
                    part.replace(final)
                account.fetched += 1
                account.continued += went_on
                return
            remove(part)
        account.refused[entry.to] = f"{site.url(entry.path)}: fetched twice, and its checksum is wrong both times"
    except FileRefusedError as error:
        account.refused[entry.to] = str(error)


async def _whole(site: Site, entry: Entry, part: Path, settings: FetchSettings, account: Account) -> bool:
    """Attempts at one file until the server says that it is whole; whether the last one went on with a part."""
    patience = _Patience(settings, account)
    furthest = size_of(part)
    while True:
        try:
            return await site.into(entry.path, part)
        except PassingError as error:
            await patience.after(error, grew=size_of(part) > furthest)
            furthest = max(furthest, size_of(part))


class _Patience:
    """Growing pauses, and an end to them; who brings more bytes than ever starts afresh."""

    def __init__(self, settings: FetchSettings, account: Account) -> None:
        self._settings = settings
        self._account = account
        self._failed = 0

    async def after(self, error: PassingError, *, grew: bool) -> None:
        """Wait before the next attempt.

        Raises:
            FileRefusedError: If there have been enough, of a server that answers.
            FetchError: If there have been enough, and nobody answers.
        """
        self._failed = 1 if grew else self._failed + 1
        if self._failed >= self._settings.tries:
            words = f"{error}, {self._failed} times in a row"
            if error.answered:
                raise FileRefusedError(words) from error
            raise FetchError(f"{words}; check the network and start again: what is there stays") from error
        self._account.retries += 1
        growing = self._settings.pause_s * 2 ** (self._failed - 1)
        await self._settings.pause(min(max(growing, error.retry_after_s or 0.0), self._settings.longest_pause_s))


def _refusal(account: Account, out: Path) -> str:
    """The sentence for files that cannot be had: the first with its reason, the others by name."""
    names = sorted(account.refused)
    others = f"; so with {', '.join(names[1:_ENOUGH_REFUSED])}" if names[1:] else ""
    return (
        f"{len(names)} of {account.of} files were refused: {account.refused[names[0]]}{others}. "
        f"What is in {out} stays; start again to try the others once more"
    )


def _checked(url: str) -> str:
    """An address as one of a folder."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise FetchError(f"--from is {url!r}; it takes an address that begins with https:// or http://")
    return url.rstrip("/") + "/"


def show_fetched(result: dict[str, Any]) -> None:
    """What was fetched, for people."""
    patients = ", ".join(f"{count} in {name}" for name, count in result["patients"].items())
    print(
        f"{result['listed']} files in {result['out']}, all with the right checksum: {result['there']} were there, "
        f"{result['fetched']} fetched; patients: {patients}"
    )
