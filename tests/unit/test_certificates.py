"""Certificates, judged by a TLS handshake in memory: what is ours gets in, what is not does not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from deploy.brokers import certificates
from deploy.brokers.certificates import CertificateError


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a finished handshake; raises what either end raised."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            return ends
    raise AssertionError("the handshake does not end")


def server_of(folder: Path, hosts: tuple[str, ...] = ("localhost",)) -> ssl.SSLContext:
    made = certificates.server(folder, hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context


def client_of(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates.authority(folder).certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return context


def test_a_server_is_known_by_each_of_its_names(tmp_path):
    server, client = server_of(tmp_path, ("localhost", "ward-7.example", "127.0.0.1")), client_of(tmp_path)
    for host in ("localhost", "ward-7.example", "127.0.0.1"):
        shake_hands(server, client, host)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(server, client, "elsewhere.example")


def test_a_stranger_with_our_name_is_not_believed(tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server_of(tmp_path / "stranger"), client_of(tmp_path / "ours"), "localhost")


def test_a_devices_certificate_names_it_and_does_not_make_it_a_server(tmp_path):
    server, client = server_of(tmp_path), client_of(tmp_path)
    server.load_verify_locations(certificates.authority(tmp_path).certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    device = certificates.client(tmp_path, "dev-1")
    client.load_cert_chain(device.certificate, device.key)
    _, at_server = shake_hands(server, client, "localhost")
    assert at_server.getpeercert()["subject"] == ((("commonName", "dev-1"),),)
    posing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    posing.load_cert_chain(device.certificate, device.key)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(posing, client_of(tmp_path), "localhost")


def test_keys_are_their_owners_alone_and_nothing_half_made_stays(tmp_path):
    certificates.server(tmp_path, ("localhost",))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "authority.key", "authority.pem", "server.key", "server.pem",
    ]  # fmt: skip
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("*.key")} == {0o600}


def test_the_authority_stays_the_same(tmp_path):
    first = certificates.authority(tmp_path).certificate.read_bytes()
    certificates.server(tmp_path, ("localhost",))
    assert certificates.authority(tmp_path).certificate.read_bytes() == first


@pytest.mark.parametrize("hosts", [(), ("",), ("a b",), ("x\nbasicConstraints=CA:true",), ("a,DNS:b",)])
def test_a_host_that_is_none_is_refused(tmp_path, hosts):
    with pytest.raises(CertificateError):
        certificates.server(tmp_path, hosts)


def test_a_device_that_can_not_be_one_is_refused(tmp_path):
    with pytest.raises(CertificateError, match="can't be a device"):
        certificates.client(tmp_path, "a/CN=bridge")
