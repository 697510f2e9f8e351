"""Keeps secrets encrypted at rest, with a key that is not in the database.

AES-256-GCM; owner and setting are bound to each value, so that it cannot be moved to another place. The key is
GAINSIGHT_DESTINATION_SECRET_KEY, or the file `secret.key` of the data directory, made when the first secret is stored.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gainsight_destination.errors import StoppedError

KEY_VARIABLE = "GAINSIGHT_DESTINATION_SECRET_KEY"
KEY_FILE = "secret.key"
KEY_BYTES = 32
NONCE_BYTES = 12
FORMAT = "v1:"


class SecretKeyError(StoppedError):
    """The key is missing, malformed, or not the one that secrets were stored with. The message says what to do."""


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Which setting of what a secret is."""

    kind: Literal["source", "destination"]
    name: str
    setting: str

    def __str__(self) -> str:
        return f'{self.setting} of {self.kind} "{self.name}"'

    def bound(self) -> bytes:
        """What the encryption binds a value to. Stored values depend on it: never change it."""
        source = "source\0" if self.kind == "source" else ""
        return f"{source}{self.name}\0{self.setting}".encode()


class Secrets:
    """Encrypts and decrypts secret settings. The key is read when it is first needed; `repr` does not show it."""

    def __init__(self, *, key_file: Path, key_text: str | None = None) -> None:
        self._key_file = key_file
        self._key_text = key_text
        self._cipher: AESGCM | None = None

    @classmethod
    def of(cls, data_dir: Path, environ: Mapping[str, str] = os.environ) -> "Secrets":
        """The secrets of a data directory."""
        return cls(key_file=data_dir / KEY_FILE, key_text=environ.get(KEY_VARIABLE) or None)

    def encrypt(self, place: SecretPlace, value: Any) -> str:
        """The value as it is stored. Makes the key file if there is no key yet."""
        cipher = self._cipher_of_key(may_create=True)
        nonce = os.urandom(NONCE_BYTES)
        sealed = cipher.encrypt(nonce, json.dumps(value).encode(), place.bound())
        return FORMAT + base64.b64encode(nonce + sealed).decode("ascii")

    def decrypt(self, place: SecretPlace, stored: str) -> Any:
        """The value that was stored. Raises SecretKeyError when this key does not open it."""
        cipher = self._cipher_of_key(may_create=False)
        try:
            if not stored.startswith(FORMAT):
                raise ValueError("unknown format")
            sealed = base64.b64decode(stored.removeprefix(FORMAT), validate=True)
            opened = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.bound())
        except (InvalidTag, ValueError):
            raise SecretKeyError(
                f"{place} cannot be decrypted with the key of {self._origin()}. "
                "Restore the key it was stored with, or apply a workspace file that gives the secret again"
            ) from None
        return json.loads(opened)

    def _cipher_of_key(self, *, may_create: bool) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(self._key(may_create=may_create))
        return self._cipher

    def _key(self, *, may_create: bool) -> bytes:
        if self._key_text is not None:
            return self._decoded(self._key_text)
        if may_create and not self._key_file.exists():
            create_key_file(self._key_file)
        try:
            return self._decoded(self._key_file.read_text("ascii", "replace"))
        except FileNotFoundError:
            raise SecretKeyError(
                f"the key of the stored secrets is missing: no file {self._key_file}, and {KEY_VARIABLE} is not set. "
                "Restore the key, or apply a workspace file that gives the secrets again"
            ) from None
        except OSError as error:
            raise SecretKeyError(f"{self._key_file} cannot be read: {error.strerror}; check who owns it") from None

    def _decoded(self, text: str) -> bytes:
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise SecretKeyError(
                f"{self._origin()} must hold {KEY_BYTES} bytes in base64; make a key with: openssl rand -base64 32"
            )
        return key

    def _origin(self) -> str:
        return KEY_VARIABLE if self._key_text is not None else str(self._key_file)


def create_key_file(path: Path) -> None:
    """Make a new key, readable by its owner only. It appears whole or not at all; one that is there already stays."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        draft.unlink()
    try:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(file, "wb") as stream:
            stream.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise SecretKeyError(f"the key of the secrets cannot be stored in {path}: {error.strerror}") from None


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
