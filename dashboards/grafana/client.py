"""A Grafana server over HTTP: `grafana-api`, its raw client where it has no method, and errors that say what to do."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests
from grafana_api.grafana_api import GrafanaException
from grafana_api.grafana_face import GrafanaFace

from dashboards.grafana.settings import Access

NOT_FOUND: Final = 404
_CONFLICTS: Final = (409, 412)

# Without it, what comes through the provisioning interface can be changed by that interface alone.
_EDITABLE: Final = {"X-Disable-Provenance": "true"}


class GrafanaError(Exception):
    """The server cannot be reached or refuses; the message says what to do.

    Attributes:
        status: Of the answer; 0 where there was none.
    """

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class ConflictError(GrafanaError):
    """Somebody else changed the thing since it was read, or its name is another's."""


class Grafana:
    """The calls that push and diff make; every method may raise `GrafanaError`."""

    def __init__(self, access: Access) -> None:
        """Nothing is asked yet."""
        parts = urlsplit(access.url)
        path = parts.path.strip("/")
        self._url = access.url
        self._face = GrafanaFace(
            (access.user, access.secret) if access.user else access.secret,
            host=f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname,
            port=parts.port,
            url_path_prefix=f"{path}/" if path else "",
            protocol=parts.scheme,
            verify=access.verify,
            timeout=access.timeout_s,
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._face.api.s.close()

    def version(self) -> str:
        """Which Grafana it is.

        Raises:
            GrafanaError: Also if something else answers there.
        """
        told = self._found("health", self._face.api.GET, "/health")
        if not isinstance(told, dict) or "version" not in told:
            raise GrafanaError(
                f"{self._url} answers, and is no Grafana: is it its own address, with the path it is served under?"
            )
        return str(told["version"])

    # -- folders, data source, dashboards ------------------------------------------------------------------------------

    def folder(self, uid: str) -> dict[str, Any] | None:
        """A folder; None where there is none."""
        return self._found(f"folder {uid}", self._face.folder.get_folder, _segment(uid))

    def make_folder(self, uid: str, title: str) -> None:
        """Make a folder."""
        self._call(f"folder {uid}", self._face.folder.create_folder, title, uid)

    def rename_folder(self, uid: str, title: str, version: int) -> None:
        """Give a folder its title back."""
        self._call(f"folder {uid}", self._face.folder.update_folder, _segment(uid), title, version)

    def datasource(self, uid: str) -> dict[str, Any] | None:
        """A data source, without its secrets; None where there is none."""
        return self._found(f"data source {uid}", self._face.api.GET, f"/datasources/uid/{_segment(uid)}")

    def make_datasource(self, body: dict[str, Any]) -> None:
        """Make a data source."""
        self._call(f"data source {body['uid']}", self._face.datasource.create_datasource, body)

    def change_datasource(self, body: dict[str, Any]) -> None:
        """Replace a data source."""
        uid = body["uid"]
        self._call(f"data source {uid}", self._face.api.PUT, f"/datasources/uid/{_segment(uid)}", body)

    def dashboard(self, uid: str) -> dict[str, Any] | None:
        """A dashboard with its ``meta``; None where there is none."""
        return self._found(f"dashboard {uid}", self._face.dashboard.get_dashboard, _segment(uid))

    def save_dashboard(self, body: dict[str, Any], folder_uid: str, message: str) -> None:
        """Save a dashboard over the version that it names.

        Raises:
            ConflictError: If the server has another version by now.
        """
        sent = {"dashboard": body, "folderUid": folder_uid, "message": message, "overwrite": False}
        self._call(f"dashboard {body['uid']}", self._face.dashboard.update_dashboard, sent)

    # -- alerting: grafana-api has no methods for its provisioning interface -------------------------------------------

    def provisioned(self, path: str) -> Any | None:
        """What the provisioning interface has under a path; None where there is nothing."""
        return self._found(path, self._face.api.GET, f"/v1/provisioning/{path}")

    def provision(self, method: str, path: str, body: dict[str, Any], *, editable: bool = False) -> None:
        """Make (``POST``) or replace (``PUT``) under a path.

        Args:
            method: Which.
            path: Of the thing.
            body: The thing.
            editable: True leaves it open to changes on Grafana's pages.
        """
        call = getattr(self._face.api, method)
        self._call(path, call, f"/v1/provisioning/{path}", body, _EDITABLE if editable else None)

    # -- one request ---------------------------------------------------------------------------------------------------

    def _found(self, what: str, call: Any, *arguments: Any) -> Any | None:
        try:
            return self._call(what, call, *arguments)
        except GrafanaError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _call(self, what: str, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except GrafanaException as error:
            raise self._refused(what, error) from error
        except requests.exceptions.JSONDecodeError as error:
            raise GrafanaError(
                f"{self._url} answers, and is no Grafana: is it its own address, with the path it is served under?"
            ) from error
        except requests.exceptions.SSLError as error:
            raise GrafanaError(f"{self._url}: its certificate is not trusted on this machine ({error})") from error
        except requests.exceptions.RequestException as error:
            why = "no answer in time" if isinstance(error, requests.exceptions.Timeout) else "no connection"
            raise GrafanaError(f"Grafana at {self._url}: {why}; is it running, and is the address right?") from error

    def _refused(self, what: str, error: GrafanaException) -> GrafanaError:
        status = int(error.status_code)
        said = error.response.get("message", "") if isinstance(error.response, dict) else str(error.response)[:200]
        if status == 401:
            return GrafanaError(f"Grafana does not know this token or password ({said})", status)
        if status == 403:
            return GrafanaError(f"{what}: this token may not do that; it needs the role Admin ({said})", status)
        if status in _CONFLICTS:
            return ConflictError(f"{what}: changed by somebody else meanwhile, or managed elsewhere: {said}", status)
        return GrafanaError(f"{what}: Grafana answers {status}: {said}", status)


def _segment(text: str) -> str:
    return quote(text, safe="")
