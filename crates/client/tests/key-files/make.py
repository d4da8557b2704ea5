#!/usr/bin/env python3
"""Generates the key files of this directory and index.json again, with ssh-keygen, openssl and puttygen.

The keys are random and protect nothing. The expected fingerprints are those that the tools print, never those of a program
under test. Needs Debian's openssh-client, openssl and putty-tools.
"""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
NAMES = {
    "ssh-ed25519": "ed25519",
    "ssh-rsa": "rsa",
    "ecdsa-sha2-nistp256": "ecdsa-p256",
    "ecdsa-sha2-nistp384": "ecdsa-p384",
}
index = []


def run(*command, data=None):
    done = subprocess.run(command, input=data, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def keygen(name, *options, comment="build robot"):
    run("ssh-keygen", "-q", "-N", "", "-C", comment, "-f", name, *options)
    return pathlib.Path(name).read_bytes()


def puttygen(name, *options):
    run("puttygen", "-q", "--new-passphrase", "/dev/null", "-o", name, *options)
    return pathlib.Path(name).read_bytes()


def openssl(*options, data=None):
    return run("openssl", *options, data=data)


def public_line(name):
    """The OpenSSH line of the public half, by ssh-keygen or puttygen."""
    if name.endswith(".ppk"):
        return run("puttygen", name, "-L").decode(errors="replace")
    if name.endswith((".pem", ".der")):
        spki = openssl("pkey", "-in", name, "-pubout")
        pathlib.Path("spki").write_bytes(spki)
        der = openssl("pkey", "-in", name, "-pubout", "-outform", "DER")
        if len(der) == 44:  # Ed25519, which the ssh-keygen of Debian 12 does not read in PEM.
            blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + der[12:]
            return "ssh-ed25519 " + base64.b64encode(blob).decode()
        return run("ssh-keygen", "-i", "-m", "PKCS8", "-f", "spki").decode()
    return run("ssh-keygen", "-y", "-f", name).decode(errors="replace")


def fingerprint(line):
    blob = base64.b64decode(line.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def taken(file, content, line, what):
    (HERE / file).write_bytes(content)
    index.append(
        {"file": file, "what": what, "fingerprint": fingerprint(line), "algorithm": NAMES[line.split()[0]]}
    )


def refused(file, content, reason, what):
    (HERE / file).write_bytes(content)
    index.append({"file": file, "what": what, "refused": reason})


def armour(label, der):
    body = base64.b64encode(der).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def openssh_bytes(text):
    lines = [line for line in text.decode(errors="replace").splitlines() if not line.startswith("-")]
    return base64.b64decode("".join(lines))


def make():
    kinds = {
        "ed25519": ["-t", "ed25519"],
        "rsa": ["-t", "rsa", "-b", "2048"],
        "p256": ["-t", "ecdsa", "-b", "256"],
        "p384": ["-t", "ecdsa", "-b", "384"],
    }
    # OpenSSH's own format, by ssh-keygen.
    for kind, options in kinds.items():
        text = keygen(f"openssh-{kind}", *options)
        taken(f"openssh-{kind}", text, public_line(f"openssh-{kind}"), "ssh-keygen")
    text, line = pathlib.Path("openssh-ed25519").read_bytes(), public_line("openssh-ed25519")
    plain = text.decode()
    body = plain.splitlines()
    for name, content, what in [
        ("crlf", plain.replace("\n", "\r\n").encode(), "Windows line ends"),
        ("trailing-blanks", plain.replace("\n", "  \t\n").encode() + b"\n\n  \n", "blanks at the ends of lines"),
        ("indented", ("\n" + plain).replace("\n", "\n    ").encode(), "every line indented, as in YAML"),
        ("utf8-bom", b"\xef\xbb\xbf" + text, "a byte order mark"),
        ("utf16le-bom", b"\xff\xfe" + plain.replace("\n", "\r\n").encode("utf-16-le"), "UTF-16LE, as `>` of PowerShell"),
        ("utf16be-bom", b"\xfe\xff" + plain.encode("utf-16-be"), "UTF-16BE"),
        ("utf16le", plain.encode("utf-16-le"), "UTF-16LE without byte order mark"),
        ("spaces", plain.replace("\n", " ").encode(), "line breaks that became blanks"),
        ("joined", plain.replace("\n", "").encode(), "line breaks that were lost"),
        ("escaped", plain.replace("\n", "\\n").encode(), "line breaks as backslash and n"),
        ("escaped-crlf", plain.replace("\n", "\\r\\n").encode(), "line breaks as backslash, r, backslash, n"),
        ("quoted", f'"{plain.rstrip()}"\n'.encode(), "in quotes"),
        ("text-around", b"# key of the build robot\n\n" + text + b"# end\n", "lines of text above and below"),
        ("base64", base64.b64encode(text), "base64 of the file in one line"),
        ("base64-76", base64.encodebytes(text), "base64 of the file in lines of 76"),
        ("base64-76-crlf", base64.encodebytes(text).replace(b"\n", b"\r\n"), "the same with Windows line ends"),
        ("base64-of-crlf", base64.b64encode(plain.replace("\n", "\r\n").encode()), "base64 of a file with CRLF"),
        ("base64-of-bom", base64.b64encode(b"\xef\xbb\xbf" + text), "base64 of a file with byte order mark"),
        ("base64-of-utf16", base64.b64encode(plain.encode("utf-16")), "base64 of a file in UTF-16"),
    ]:
        taken(f"openssh-ed25519-{name}", content, line, what)
    latin1 = "Jörg@büro".encode("latin-1")
    run(b"ssh-keygen", b"-q", b"-N", b"", b"-t", b"ed25519", b"-C", latin1, b"-f", b"latin1")
    latin1_line = pathlib.Path("latin1.pub").read_bytes()
    taken(
        "openssh-ed25519-comment-latin1",
        pathlib.Path("latin1").read_bytes(),
        latin1_line.decode(errors="replace"),
        "a comment that is not UTF-8",
    )

    # OpenSSH's format by puttygen, which pads to 16.
    for length in range(1, 17):
        name = f"puttygen-openssh-ed25519-comment-{length:02}"
        content = puttygen(name, "-t", "ed25519", "-C", "c" * length, "-O", "private-openssh-new")
        taken(name, content, public_line(name), f"puttygen -O private-openssh-new, comment of {length} characters")
    for kind, options in {"rsa": ["rsa", "-b", "2048"], "p256": ["ecdsa", "-b", "256"], "p384": ["ecdsa", "-b", "384"]}.items():
        for comment in ("a", "ecdsa-key-20261127"):
            name = f"puttygen-openssh-{kind}-comment-{len(comment):02}"
            content = puttygen(name, "-t", *options, "-C", comment, "-O", "private-openssh-new")
            taken(name, content, public_line(name), "puttygen -O private-openssh-new")

    # PuTTY's own files.
    for kind, options in {
        "ed25519": ["ed25519"],
        "rsa": ["rsa", "-b", "2048"],
        "p256": ["ecdsa", "-b", "256"],
        "p384": ["ecdsa", "-b", "384"],
    }.items():
        for version in (2, 3):
            name = f"putty-v{version}-{kind}.ppk"
            parameters = ["-O", "private", "--ppk-param", f"version={version}"]
            content = puttygen(name, "-t", *options, "-C", "build robot", *parameters)
            taken(name, content, public_line(name), f"PuTTY's format, version {version}")
    ppk = pathlib.Path("putty-v3-ed25519.ppk").read_bytes()
    ppk_line = public_line("putty-v3-ed25519.ppk")
    taken("putty-v3-ed25519-crlf.ppk", ppk.replace(b"\n", b"\r\n"), ppk_line, "the same with Windows line ends")
    taken("putty-v3-ed25519-escaped.ppk", ppk.replace(b"\n", b"\\n"), ppk_line, "line breaks as backslash and n")
    taken("putty-v3-ed25519-base64.ppk", base64.b64encode(ppk), ppk_line, "base64 of a PuTTY file")
    taken("putty-v3-ed25519-utf16.ppk", ppk.decode().encode("utf-16"), ppk_line, "UTF-16 with byte order mark")
    run(
        *[b"puttygen", b"-q", b"--new-passphrase", b"/dev/null", b"-t", b"ed25519", b"-C", latin1],
        *[b"-O", b"private", b"-o", b"putty-latin1.ppk"],
    )
    taken(
        "putty-v3-ed25519-comment-latin1.ppk",
        pathlib.Path("putty-latin1.ppk").read_bytes(),
        public_line("putty-latin1.ppk"),
        "a comment that is not UTF-8",
    )

    # PEM and DER by openssl.
    openssl("genpkey", "-algorithm", "ED25519", "-out", "pkcs8-ed25519.pem")
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "pkcs8-rsa.pem")
    for kind, curve in {"p256": "P-256", "p384": "P-384"}.items():
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", f"pkcs8-{kind}.pem")
        openssl("ec", "-in", f"pkcs8-{kind}.pem", "-out", f"sec1-{kind}.pem")
        openssl("ec", "-in", f"pkcs8-{kind}.pem", "-outform", "DER", "-out", f"sec1-{kind}.der")
    openssl("rsa", "-in", "pkcs8-rsa.pem", "-traditional", "-out", "pkcs1-rsa.pem")
    openssl("rsa", "-in", "pkcs8-rsa.pem", "-traditional", "-outform", "DER", "-out", "pkcs1-rsa.der")
    for kind in kinds:
        pem = pathlib.Path(f"pkcs8-{kind}.pem").read_bytes()
        line = public_line(f"pkcs8-{kind}.pem")
        taken(f"pkcs8-{kind}.pem", pem, line, "openssl genpkey")
        der = openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"pkcs8-{kind}.pem", "-outform", "DER")
        pathlib.Path(f"pkcs8-{kind}.der").write_bytes(der)
        taken(f"pkcs8-{kind}.der", der, line, "openssl pkcs8 -topk8 -nocrypt -outform DER")
    for name in ("pkcs1-rsa.pem", "pkcs1-rsa.der", "sec1-p256.pem", "sec1-p256.der", "sec1-p384.pem", "sec1-p384.der"):
        taken(name, pathlib.Path(name).read_bytes(), public_line(name), "openssl rsa -traditional or openssl ec")
    for name, source in {"pkcs8-ed25519": "", "pkcs8-rsa": "", "sec1-p256": "", "pkcs1-rsa": ""}.items():
        pem = pathlib.Path(f"{name}.pem").read_bytes()
        line = public_line(f"{name}.pem")
        if name.startswith("pkcs8"):
            with_text = openssl("pkey", "-in", f"{name}.pem", "-text")
        elif name.startswith("sec1"):
            with_text = openssl("ec", "-in", f"{name}.pem", "-text")
        else:
            with_text = openssl("rsa", "-in", f"{name}.pem", "-traditional", "-text")
        taken(f"{name}-text.pem", with_text, line, "openssl -text: the numbers beside the block")
        taken(f"{name}-utf16.pem", pem.decode().encode("utf-16"), line, "UTF-16 with byte order mark")
        taken(f"{name}-base64.pem", base64.b64encode(pem), line, "base64 of the PEM file")
        taken(f"{name}-joined.pem", pem.replace(b"\n", b" "), line, "line breaks that became blanks")
    der = pathlib.Path("pkcs8-ed25519.der").read_bytes()
    taken("pkcs8-ed25519-base64.der", base64.b64encode(der), public_line("pkcs8-ed25519.pem"), "base64 of the DER file")
    # The parameters stand before the key, as `openssl ecparam -genkey` writes them.
    pair = openssl("ecparam", "-name", "prime256v1", "-genkey")
    pathlib.Path("ecparam.pem").write_bytes(pair)
    taken("sec1-p256-parameters.pem", pair, public_line("ecparam.pem"), "openssl ecparam -genkey")
    compressed = openssl("ec", "-in", "pkcs8-p256.pem", "-conv_form", "compressed")
    taken("sec1-p256-compressed.pem", compressed, public_line("pkcs8-p256.pem"), "a compressed point")
    without = openssl("ec", "-in", "pkcs8-p256.pem", "-no_public")
    taken("sec1-p256-no-public.pem", without, public_line("pkcs8-p256.pem"), "no public half in the file")
    for kind in ("rsa", "p256", "ed25519"):
        certificate = openssl("req", "-x509", "-key", f"pkcs8-{kind}.pem", "-subj", "/CN=build robot", "-days", "1")
        pathlib.Path("certificate.pem").write_bytes(certificate)
        pfx = ["-inkey", f"pkcs8-{kind}.pem", "-in", "certificate.pem", "-name", "Jörg", "-passout", "pass:"]
        openssl("pkcs12", "-export", *pfx, "-out", "bag.pfx")
        bag = openssl("pkcs12", "-in", "bag.pfx", "-nodes", "-passin", "pass:")
        line = public_line(f"pkcs8-{kind}.pem")
        taken(f"bag-{kind}.pem", bag, line, "openssl pkcs12 -nodes: Bag Attributes and a certificate")
    certificate = pathlib.Path("certificate.pem").read_bytes()
    # RFC 8410, section 10.3: version 2, with an attribute and the public key.
    rfc8410 = (
        b"-----BEGIN PRIVATE KEY-----\n"
        b"MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        b"oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n"
        b"Z9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----\n"
    )
    rfc8410_line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh"
    taken("pkcs8-ed25519-version-2.pem", rfc8410, rfc8410_line, "RFC 8410, section 10.3")

    # Refused: protected by a passphrase.
    run("ssh-keygen", "-q", "-N", "correct horse", "-t", "ed25519", "-f", "protected")
    refused("openssh-protected", pathlib.Path("protected").read_bytes(), "passphrase", "ssh-keygen with a passphrase")
    password = ["-passout", "pass:correct horse"]
    rsa = openssl("rsa", "-in", "pkcs8-rsa.pem", "-traditional", "-aes128", *password)
    refused("pkcs1-rsa-protected.pem", rsa, "passphrase", "openssl rsa -traditional -aes128")
    sec1 = openssl("ec", "-in", "pkcs8-p256.pem", "-aes128", *password)
    refused("sec1-p256-protected.pem", sec1, "passphrase", "openssl ec -aes128")
    pkcs8 = openssl("pkcs8", "-topk8", "-in", "pkcs8-ed25519.pem", *password)
    refused("pkcs8-ed25519-protected.pem", pkcs8, "passphrase", "openssl pkcs8 -topk8")
    der = openssl("pkcs8", "-topk8", "-in", "pkcs8-ed25519.pem", "-outform", "DER", *password)
    refused("pkcs8-ed25519-protected.der", der, "passphrase", "openssl pkcs8 -topk8 -outform DER")
    pathlib.Path("passphrase").write_text("correct horse\n")
    for version in (2, 3):
        name = f"putty-v{version}-protected.ppk"
        run(
            *["puttygen", "-q", "-t", "ed25519", "-C", "build robot", "-O", "private", "-o", name],
            *["--ppk-param", f"version={version},memory=64,passes=1", "--new-passphrase", "passphrase"],
        )
        refused(name, pathlib.Path(name).read_bytes(), "passphrase", f"PuTTY's format, version {version}, protected")

    # Refused: kinds of keys that are not taken.
    refused("openssh-p521", keygen("p521", "-t", "ecdsa", "-b", "521"), "unsupported", "ECDSA on P-521")
    refused("openssh-dsa", keygen("dsa", "-t", "dsa"), "unsupported", "DSA")
    refused("openssh-rsa1024", keygen("rsa1024", "-t", "rsa", "-b", "1024"), "unsupported", "RSA of 1024 bits")
    for name, options, what in [
        ("pkcs8-ed448.pem", ["-algorithm", "ED448"], "Ed448"),
        ("pkcs8-x25519.pem", ["-algorithm", "X25519"], "X25519, which cannot sign"),
        ("pkcs8-p521.pem", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "ECDSA on P-521"),
        ("pkcs8-secp256k1.pem", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "ECDSA on secp256k1"),
        ("pkcs8-rsa1024.pem", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "RSA of 1024 bits"),
        (
            "pkcs8-rsa-exponent-3.pem",
            ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"],
            "RSA with exponent 3",
        ),
        ("pkcs8-rsa-pss.pem", ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], "RSA bound to PSS"),
    ]:
        refused(name, openssl("genpkey", *options), "unsupported", what)
    refused("putty-v3-ed448.ppk", puttygen("ed448.ppk", "-t", "ed448", "-C", "a", "-O", "private"), "unsupported", "Ed448")

    # Refused: halves that do not belong together, and what was changed.
    ours, theirs = openssh_bytes(text), openssh_bytes(pathlib.Path("latin1").read_bytes())
    point = theirs[theirs.index(b"\0\0\0\x0bssh-ed25519\0\0\0\x20") + 19 :][:32]
    own = ours[ours.index(b"\0\0\0\x0bssh-ed25519\0\0\0\x20") + 19 :][:32]
    refused("openssh-ed25519-other-half", armour("OPENSSH PRIVATE KEY", ours.replace(own, point)), "halves", "another public half")
    other = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-outform", "DER")
    mine = pathlib.Path("sec1-p256.der").read_bytes()
    refused("sec1-p256-other-half.pem", armour("EC PRIVATE KEY", mine[:-65] + other[-65:]), "halves", "another public half")
    changed = ppk.replace(b"Comment: build robot", b"Comment: build rabbi")
    refused("putty-v3-changed.ppk", changed, "damaged", "a comment that the MAC does not fit")
    ppk2 = pathlib.Path("putty-v2-ed25519.ppk").read_bytes()
    refused("putty-v2-changed.ppk", ppk2.replace(b"build robot", b"build rabbi"), "damaged", "the same in version 2")
    refused("openssh-ed25519-cut", "\n".join(body[:-2]).encode(), "damaged", "the last lines are missing")
    refused("openssh-ed25519-line-lost", "\n".join([*body[:2], *body[3:]]).encode(), "damaged", "a line is missing")
    padding = bytearray(ours)
    padding[-1] ^= 1
    refused("openssh-ed25519-padding", armour("OPENSSH PRIVATE KEY", padding), "damaged", "padding that does not count 1, 2, 3")

    # Refused: something else than one private key.
    refused("two-keys", text + pathlib.Path("openssh-p256").read_bytes(), "several", "two private keys")
    refused("two-keys.pem", pathlib.Path("pkcs8-ed25519.pem").read_bytes() + pathlib.Path("pkcs1-rsa.pem").read_bytes(), "several", "two private keys")
    refused("public.pub", pathlib.Path("openssh-ed25519.pub").read_bytes(), "public", "the public half")
    refused("public-utf16.pub", pathlib.Path("openssh-ed25519.pub").read_text().encode("utf-16"), "public", "the public half in UTF-16")
    refused("public-rfc4716.pub", run("ssh-keygen", "-e", "-f", "openssh-ed25519.pub"), "public", "the public half, RFC 4716")
    refused("public-spki.pem", openssl("pkey", "-in", "pkcs8-ed25519.pem", "-pubout"), "public", "the public half in PEM")
    refused("certificate.pem", certificate, "no-key", "a certificate")
    refused("base64-twice", base64.b64encode(base64.b64encode(text)), "base64-twice", "base64 of base64")
    refused("blank", b" \r\n\n", "empty", "nothing but blanks")
    refused("words", b"not a key\n", "no-key", "something else")


os.umask(0o077)
with tempfile.TemporaryDirectory() as directory:
    for old in HERE.iterdir():
        if old.name not in ("make.py", "README.md"):
            old.unlink()
    os.chdir(directory)
    make()
lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in index)
(HERE / "index.json").write_text(f"[\n{lines}\n]\n")
print(f"{len(index)} files")
