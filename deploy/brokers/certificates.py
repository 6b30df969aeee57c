"""Certificates for the MQTT listeners that are not loopback: an authority of our own, and what it signs.

Made with the `openssl` command, not with a Python package: certificates are made by a person a few times a year, the
command is there wherever a broker with TLS is, and nothing that runs all day gets another dependency for it.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitals import topics

_AUTHORITY_DAYS: Final = 3650
_LEAF_DAYS: Final = 825  # the longest that clients of all kinds accept
_NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")


class CertificateError(Exception):
    """A certificate could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key.

    Attributes:
        certificate: PEM file, to be shown to anybody.
        key: PEM file, readable by its owner alone.
    """

    certificate: Path
    key: Path


def authority(folder: Path) -> Certificate:
    """The authority of a folder, made when it is not there yet.

    Raises:
        CertificateError: If openssl is missing or refuses.
    """
    made = _files(folder, "authority")
    if made.certificate.exists():
        return made
    extensions = "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    with _scratch(folder, extensions) as scratch:
        _openssl(
            "req", "-x509", *_NEW_KEY, "-days", str(_AUTHORITY_DAYS), "-subj", "/CN=Teleward authority",
            "-config", f"{scratch}/own.cnf", "-extensions", "made",
            "-keyout", f"{scratch}/key.pem", "-out", f"{scratch}/certificate.pem",
        )  # fmt: skip
        _move(Path(scratch), made)
    return made


def server(folder: Path, hosts: tuple[str, ...]) -> Certificate:
    """A server's certificate, made anew each time it is asked for.

    Args:
        folder: Of the authority, made where it is not there.
        hosts: Names and addresses that clients call it by; at least one.

    Raises:
        CertificateError: If a host is no name, or openssl is missing or refuses.
    """
    if not hosts:
        raise CertificateError("a server's certificate needs the name or address that devices call it by")
    names = ",".join(_alternative(host) for host in hosts)
    return _leaf(folder, "server", "Teleward broker", f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")


def client(folder: Path, name: str) -> Certificate:
    """A device's certificate: its common name is the device's user name at the broker.

    Raises:
        CertificateError: If the name is none that a device can have, or openssl is missing or refuses.
    """
    if not topics.DEVICE_ID.fullmatch(name):
        raise CertificateError(f"{name!r} can't be a device's name")
    return _leaf(folder, f"device-{name}", name, "extendedKeyUsage=clientAuth\n")


def _leaf(folder: Path, stem: str, common_name: str, extensions: str) -> Certificate:
    signer, made = authority(folder), _files(folder, stem)
    basic = "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n"
    identify = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    with _scratch(folder, basic + identify + extensions) as scratch:
        _openssl(
            "req", "-new", *_NEW_KEY, "-subj", f"/CN={common_name}", "-config", f"{scratch}/own.cnf",
            "-keyout", f"{scratch}/key.pem", "-out", f"{scratch}/request.pem",
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", f"{scratch}/request.pem", "-days", str(_LEAF_DAYS),
            "-CA", str(signer.certificate), "-CAkey", str(signer.key), "-set_serial", f"0x{os.urandom(16).hex()}",
            "-extfile", f"{scratch}/own.cnf", "-extensions", "made", "-out", f"{scratch}/certificate.pem",
        )  # fmt: skip
        _move(Path(scratch), made)
    return made


def _files(folder: Path, stem: str) -> Certificate:
    return Certificate(folder / f"{stem}.pem", folder / f"{stem}.key")


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        if not host or not all(part.replace("-", "").isalnum() for part in host.split(".")):
            raise CertificateError(f"{host!r} is neither a name nor an address of a server") from None
        return f"DNS:{host}"


def _scratch(folder: Path, extensions: str) -> tempfile.TemporaryDirectory[str]:
    """A folder of its own on the same disk, closed to others, with the configuration of one certificate in it."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".making-")
    # A file of our own, so that what the machine's openssl.cnf says changes nothing.
    text = f"[req]\ndistinguished_name=subject\nprompt=no\n[subject]\nCN=unused\n[made]\n{extensions}"
    Path(scratch.name, "own.cnf").write_text(text, encoding="utf-8")
    return scratch


def _move(scratch: Path, made: Certificate) -> None:
    (scratch / "key.pem").chmod(0o600)
    (scratch / "certificate.pem").chmod(0o644)
    (scratch / "key.pem").replace(made.key)  # the key first: a certificate in place means that both are
    (scratch / "certificate.pem").replace(made.certificate)


def _openssl(*arguments: str) -> None:
    command = shutil.which("openssl")
    if command is None:
        raise CertificateError("the command openssl is missing (Debian: apt-get install openssl)")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CertificateError(f"openssl {arguments[0]} refused: {done.stderr.strip()[-300:]}")
