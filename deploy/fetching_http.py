"""The site a set of files is fetched from: one attempt at a time, and what its failure means.

Only here is HTTP spoken. Whether to try again is decided in `deploy.fetching`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx

from deploy.fetching_disk import FetchError, FileRefusedError, PassingError, on_disk, remove, size_of

_GONE: Final = frozenset({404, 410})
_PASSING: Final = frozenset({408, 425, 429})  # and everything from 500


class Site:
    """A base address and the connections to it.

    Proxies are taken from the environment, as curl and pip do. Bytes are asked for as they are (no compression):
    a part's length is then a place in the file.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._base = base_url
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            follow_redirects=True,
            headers={"accept-encoding": "identity", "user-agent": "teleward"},
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    def url(self, path: str) -> str:
        """The address of a file below the base."""
        return self._base + quote(path)

    async def text(self, path: str) -> str:
        """A small file as text.

        Raises:
            PassingError: If another attempt may do.
            FileRefusedError: If there is no such file.
            FetchError: If nothing can be had from there.
        """
        with self._in_words(path):
            response = await self._client.get(self.url(path))
            self._look_at(response, path)
            return response.text

    async def into(self, path: str, part: Path) -> bool:
        """Go on with a file where its part ends; from the start, where the server knows no ranges.

        It is done when the server has sent all it announced. What came stays in the part, whatever happens.

        Returns:
            Whether it went on with a part.

        Raises:
            PassingError: If another attempt may do.
            FileRefusedError: If there is no such file.
            FetchError: If nothing can be had from there, or the disk takes no more.
        """
        begun = size_of(part)
        headers = {"range": f"bytes={begun}-"} if begun else {}
        with self._in_words(path):
            async with self._client.stream("GET", self.url(path), headers=headers) as response:
                if begun and not _goes_on_at(response, begun):
                    if response.status_code in {206, 416}:
                        # As long as the file or longer, or another place than asked for: what is there does not belong.
                        remove(part)
                        raise PassingError(f"{self.url(path)}: the part that was there does not fit", answered=True)
                    begun = 0
                self._look_at(response, path)
                with on_disk(part), part.open("ab" if begun else "wb") as file:
                    async for piece in response.aiter_raw():
                        file.write(piece)
        return begun > 0

    def _look_at(self, response: httpx.Response, path: str) -> None:
        """What a status means."""
        code, url = response.status_code, self.url(path)
        if code in {200, 206}:
            return
        if code in _GONE:
            raise FileRefusedError(f"{url}: there is no such file ({code})")
        if code in _PASSING or code >= 500:
            wait_s = _seconds(response.headers.get("retry-after", ""))
            raise PassingError(f"{url}: the server answered {code}", answered=True, retry_after_s=wait_s)
        if code in {401, 403}:
            raise FetchError(f"{url}: the site does not give it to us ({code}); look at the address in a browser")
        raise FetchError(f"{url}: the server answered {code}, which is no file; check the address given with --from")

    @contextmanager
    def _in_words(self, path: str) -> Iterator[None]:
        """What goes wrong below HTTP, as a sentence."""
        url = self.url(path)
        try:
            yield
        except httpx.TimeoutException as error:
            raise PassingError(f"{url}: no answer for {self._timeout_s:g} s", answered=False) from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise PassingError(f"{url}: cannot be reached ({_why(error)})", answered=False) from error
        except httpx.TransportError as error:  # broken off in the middle, or no HTTP at all
            raise PassingError(f"{url}: the transfer broke ({_why(error)})", answered=True) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(f"{url}: {error}; check the address given with --from") from error


def _why(error: Exception) -> str:
    """An error's own words; many of httpx have none."""
    return str(error) or type(error).__name__


def _goes_on_at(response: httpx.Response, begun: int) -> bool:
    """Whether a server's answer is the rest of the file from there on."""
    place = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return response.status_code == 206 and place is not None and int(place[1]) == begun


def _seconds(text: str) -> float | None:
    """A Retry-After in seconds; one that names a date is left alone."""
    return float(text) if re.fullmatch(r"\d{1,9}", text.strip()) else None
