#!/usr/bin/env python3
"""Make the key, the JWKS and the access tokens that the benchmark needs.

Writes into one folder:
  signing.pem, public.pem    an RSA-2048 key pair (made once, kept after that)
  jwks.json                  the public key as a JWK set
  hot.txt                    1 valid token
  valid-N.txt                N distinct valid tokens, one a line (--distinct N)
  badsig.txt, badsig-N.txt   signatures that do not verify
  cert.pem, cert.key         a self-signed certificate, P-256
  expired.txt, wrongscope.txt, wrongaud.txt, wrongiss.txt, algnone.txt

The tokens have the shape of an access token from the client-credentials grant
of Amazon Cognito, plus an audience.
"""

import argparse
import base64
import datetime
import json
import pathlib
import time
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
AUDIENCE = "orders-api"
SCOPE = "orders-api/orders.read"
KID = "k3y0sJ9mPq4vX7bC1dE5fG8hI2jK6lM0nO3pQ9rS4t8="
CLIENT = "5q0m1l2n3p4r5s6t7u8v9w0x1y"


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def compact(obj):
    return b64(json.dumps(obj, separators=(",", ":")).encode())


class Maker:
    def __init__(self, folder):
        self.folder = folder
        pem = folder / "signing.pem"
        if pem.exists():
            self.key = serialization.load_pem_private_key(pem.read_bytes(), None)
        else:
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem.write_bytes(
                self.key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        public = self.key.public_key()
        (folder / "public.pem").write_bytes(
            public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        n = public.public_numbers()
        jwk = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": KID,
            "n": b64(n.n.to_bytes(256, "big")).decode(),
            "e": b64(n.e.to_bytes(3, "big")).decode(),
        }
        (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
        self.head = compact({"kid": KID, "alg": "RS256"})

    def token(self, **changes):
        now = int(time.time())
        claims = {
            "sub": CLIENT,
            "token_use": "access",
            "scope": SCOPE + " orders-api/orders.write",
            "auth_time": now,
            "iss": ISSUER,
            "exp": now + 10 * 365 * 86400,
            "iat": now,
            "version": 2,
            "jti": str(uuid.uuid4()),
            "client_id": CLIENT,
            "aud": AUDIENCE,
        }
        claims.update(changes)
        body = self.head + b"." + compact(claims)
        return (body + b"." + b64(self.sign(body))).decode()

    def sign(self, body):
        return self.key.sign(body, padding.PKCS1v15(), hashes.SHA256())

    def forged(self):
        """A fresh claim set under the signature of another token."""
        good = self.token().split(".")
        other = self.token().split(".")
        return ".".join([good[0], good[1], other[2]])

    def write(self, name, tokens):
        """Whole or not at all: an interrupted run must not leave a short list behind."""
        unfinished = self.folder / (name + ".part")
        with unfinished.open("w") as f:
            for t in tokens:
                f.write(t + "\n")
        unfinished.rename(self.folder / name)


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now,
                                   now + datetime.timedelta(days=3650)).add_extension(names, False)
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "cert.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def make(folder, distinct=(10_000,), forged=1_000):
    folder = pathlib.Path(folder)
    missing = [n for n in distinct if not (folder / f"valid-{n}.txt").exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    m = Maker(folder)
    certificate(folder)
    now = int(time.time())
    m.write("hot.txt", [m.token()])
    m.write("expired.txt", [m.token(iat=now - 7200, auth_time=now - 7200, exp=now - 3600)])
    m.write("wrongscope.txt", [m.token(scope="orders-api/orders.readonly other-api/orders.write")])
    m.write("wrongaud.txt", [m.token(aud="another-api")])
    m.write("wrongiss.txt", [m.token(iss="https://issuer.example/else")])
    t = m.token().split(".")
    m.write("algnone.txt", [".".join([compact({"kid": KID, "alg": "none"}).decode(), t[1], ""])])
    m.write("badsig.txt", [m.forged()])
    m.write(f"badsig-{forged}.txt", (m.forged() for _ in range(forged)))
    for n in missing:
        m.write(f"valid-{n}.txt", (m.token() for _ in range(n)))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder")
    p.add_argument("--distinct", type=int, nargs="*", default=[10_000])
    p.add_argument("--forged", type=int, default=1_000)
    a = p.parse_args()
    make(a.folder, a.distinct, a.forged)
