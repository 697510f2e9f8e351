"""Archives in S3, or in what speaks its protocol. Credentials, region, server and retries are as boto3 finds them.

An object is read in parts, each with a request of its own: memory is bounded by one part, an import that pauses holds
no connection, and a connection that breaks costs one part. Every part has to be of the version that was listed.
"""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config

from gainsight_destination.archive.files import UnreadableFileError, folder_and_name, is_read, nothing_in
from gainsight_destination.errors import ProductError, UnavailableError, UserError

PART_BYTES: Final = 8 * 1_048_576
ATTEMPTS: Final = 5
"""Requests for a part whose body breaks off. What fails before the body comes, boto3 repeats itself."""

BROKEN_BODY = (exceptions.ResponseStreamingError, exceptions.IncompleteReadError, exceptions.ReadTimeoutError)

NEEDS = "s3:ListBucket on the bucket, s3:GetObject on its objects, and kms:Decrypt if they are encrypted with a key"
RENEW = "renew them (for single sign-on: aws sso login)"
FIND = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role gives them; "
    "a sign-on is renewed with: aws sso login"
)

ONE_OBJECT: Final = {
    "NoSuchKey": "the object is gone since it was listed; run the same command again",
    "PreconditionFailed": "the object changed since it was listed; run the same command again",
    "InvalidRange": "the object changed since it was listed; run the same command again",
    "InvalidObjectState": "the object is in an archive class such as Glacier; restore it first",
}
"""Answers that concern one object, so that the others are read; by code."""
SAME_AS: Final = {"404": "NoSuchKey", "412": "PreconditionFailed", "416": "InvalidRange"}

EVERYTHING: Final = {
    "AccessDenied": f"these credentials may not read it; they need {NEEDS}",
    "AllAccessDisabled": "all access to the bucket is switched off",
    "NoSuchBucket": "there is no such bucket; look at its name, and at AWS_ENDPOINT_URL if it is not with AWS",
    "ExpiredToken": f"the credentials have expired; {RENEW}",
    "ExpiredTokenException": f"the credentials have expired; {RENEW}",
    "TokenRefreshRequired": f"the credentials have expired; {RENEW}",
    "RequestExpired": "the request came too late; set this machine's clock",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "InvalidAccessKeyId": "the access key is not known there; look at AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL",
    "InvalidToken": "the session token is wrong; look at AWS_SESSION_TOKEN",
    "SignatureDoesNotMatch": "the secret access key is wrong; look at AWS_SECRET_ACCESS_KEY",
    "PermanentRedirect": "the bucket is in another region; set AWS_DEFAULT_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_DEFAULT_REGION to it",
    "IllegalLocationConstraintException": "the bucket is in another region; set AWS_DEFAULT_REGION to it",
}
"""Answers that would be the same for every object, by code."""


class S3:
    """One client for all objects of a run. Raises UserError when there is something wrong with the configuration."""

    def __init__(self) -> None:
        with told("S3"):
            # Objects are read in parts, and the checksums that S3 keeps are of whole objects.
            config = Config(response_checksum_validation="when_required")
            self.client: Any = boto3.session.Session().client("s3", config=config)

    def objects_of(self, address: str) -> "Iterator[S3Object]":
        """The objects of `bucket/prefix`, in the order of their keys: one, or all below. Raises UserError."""
        bucket, _, key = address.partition("/")
        if not bucket:
            raise UserError(f"s3://{address} names no bucket; write s3://bucket/prefix/")
        first = next(self._listed(bucket, key), None) if key and not key.endswith("/") else None
        if first and first.key == key:
            yield first
            return
        prefix = key if not key or key.endswith("/") else f"{key}/"
        found = False
        for item in self._listed(bucket, prefix):
            if is_read([part for part in item.key.removeprefix(prefix).split("/") if part] or [""]):
                found = True
                yield item
        if not found:
            raise nothing_in(f"s3://{bucket}/{prefix}")

    def _listed(self, bucket: str, prefix: str) -> "Iterator[S3Object]":
        with told(f"s3://{bucket}/{prefix}"):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield S3Object(self.client, bucket, item["Key"], item["Size"], item["ETag"])


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object as it was listed."""

    client: Any = field(repr=False, compare=False)
    bucket: str
    key: str
    size_bytes: int
    version: str
    """Its ETag, in quotes."""

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def stable_name(self) -> str:
        return folder_and_name([part for part in self.key.split("/") if part])

    def open(self) -> AbstractContextManager[io.BufferedReader]:
        return io.BufferedReader(ObjectReader(self), buffer_size=1_048_576)

    def part(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, of the version that was listed."""
        for _ in range(ATTEMPTS):
            with told(self.name):
                body = self._ask(start, end)
            if len(body) == end - start:
                return body
        raise UnavailableError(f"{self.name}: the connection breaks off again and again; try again later")

    def _ask(self, start: int, end: int) -> bytes:
        """The same, or less when the connection breaks off."""
        answer = self.client.get_object(
            Bucket=self.bucket, Key=self.key, IfMatch=self.version, Range=f"bytes={start}-{end - 1}"
        )
        with answer["Body"] as body:
            if answer.get("ETag", self.version) != self.version:
                raise UnreadableFileError(ONE_OBJECT["PreconditionFailed"])
            if not answer.get("ContentRange", "").startswith(f"bytes {start}-"):
                raise UnreadableFileError("the server sends no parts of objects; download it and import the file")
            try:
                return bytes(body.read(end - start))
            except BROKEN_BODY:
                return b""


class ObjectReader(io.RawIOBase):
    """The bytes of an object, a part of them in memory."""

    def __init__(self, item: S3Object) -> None:
        self._item = item
        self._position = 0
        self._start = 0
        self._part = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._item.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._item.size_bytes:
            return 0
        if not self._start <= self._position < self._start + len(self._part):
            end = min(self._position + PART_BYTES, self._item.size_bytes)
            self._start, self._part = self._position, self._item.part(self._position, end)
        begin = self._position - self._start
        count = min(len(buffer), len(self._part) - begin)
        buffer[:count] = memoryview(self._part)[begin : begin + count]
        self._position += count
        return count


@contextmanager
def told(subject: str) -> Iterator[None]:
    """Turn what boto3 raises into errors by what to do next."""
    try:
        yield
    except exceptions.ClientError as error:
        raise answered(error, subject) from None
    except (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.MetadataRetrievalError,
    ) as error:
        raise UnavailableError(f"{subject}: S3 cannot be reached ({error})") from None
    except exceptions.ParamValidationError as error:
        raise UserError(f"{subject}: {str(error).partition(chr(10))[2] or error}") from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise UserError(f"{subject}: {str(error)[:1].lower()}{str(error)[1:]}; {FIND}") from None
    except exceptions.BotoCoreError as error:
        raise UserError(f"{subject}: {error}; {FIND}") from None
    except ValueError as error:
        raise UserError(f"{subject}: {error}; look at AWS_ENDPOINT_URL") from None


def answered(error: exceptions.ClientError, subject: str) -> ProductError:
    """The error for an answer of the server."""
    said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code, text = str(said.get("Code", "")), str(said.get("Message", "")).rstrip(".")
    if reason := ONE_OBJECT.get(SAME_AS.get(code, code)):
        return UnreadableFileError(reason)
    if advice := EVERYTHING.get(code):
        return UserError(f"{subject}: {advice} (S3 says {code}: {text})")
    if status == 403:
        return UserError(f"{subject}: {EVERYTHING['AccessDenied']} (S3 says {code}: {text})")
    if status >= 500 or status == 429:
        return UnavailableError(f"{subject}: S3 does not serve it now; try again later (it says {code}: {text})")
    return UserError(f"{subject}: S3 refuses the request (it says {code}: {text})")
