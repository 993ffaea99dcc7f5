"""What an S3 server answers, in our words: which bucket, where, and what to do."""

from __future__ import annotations

import re

from everloop.core.errors import (
    InvalidSettings,
    MLOpsError,
    NotFound,
    StorageDenied,
    StorageFull,
    TimedOut,
    Unavailable,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_WRONG_KEYS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidClientTokenId",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "InsufficientCapacity"}
_NO_CONDITIONS = {"NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedHeader"}
_ROLE = "169.254."  # where a machine's role is asked for


def answered(error: BaseException) -> tuple[int | None, str]:
    """The server's status and its word for what was wrong ("" where it has said none)."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    return int(status[1]) if status else None, code[1] if code else ""


def knows_no_conditions(error: BaseException) -> bool:
    """Whether a store that was told ``If-None-Match`` says that it does not know that."""
    status, code = answered(error)
    if type(error).__name__ == "NotSupportedError":
        return True
    return status in (400, 405, 501) and (code in _NO_CONDITIONS or status == 501)


def translated(error: BaseException, bucket: str, path: str, endpoint: str) -> MLOpsError:
    """The error of this tree that says what an error of obstore means."""
    if isinstance(error, MLOpsError):
        return error
    status, code = answered(error)
    text = str(error)
    if code == "NoSuchBucket":
        return InvalidSettings(
            f"There is no bucket '{bucket}' at {endpoint}.",
            remedy="Create it, or correct the bucket in 'paths' or 'storage.endpoint'.",
        )
    if isinstance(error, FileNotFoundError) and "performing PUT" not in text:
        return NotFound(
            f"The stored object s3://{bucket}/{path} is missing at {endpoint}.",
            remedy="Restore it from a backup.",
        )
    if code in _WRONG_REGION or status in (301, 307) or "incorrectly configured region" in text:
        return InvalidSettings(
            f"The bucket '{bucket}' is in another region than {endpoint} was asked for.",
            remedy="Set storage.region to the bucket's region.",
        )
    if _ROLE in text:
        return StorageDenied(
            f"There are no credentials for s3://{bucket} at {endpoint}, and this machine has no role.",
            remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or storage.credentials_file.",
        )
    if code in _FULL or status == 507:
        return StorageFull(
            f"{endpoint} has no space left for s3://{bucket}/{path}.",
            remedy="Free some space and run again: nothing was half-written.",
        )
    if status in (401, 403) or type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return _denied(code, bucket, path, endpoint)
    return _unavailable(text, code, status, bucket, endpoint)


def _denied(code: str, bucket: str, path: str, endpoint: str) -> StorageDenied:
    said = f" ({code})" if code else ""
    remedy = (
        "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or storage.credentials_file."
        if code in _WRONG_KEYS
        else "Check this machine's clock."
        if code == "RequestTimeTooSkewed"
        else "Check the credentials, and that they may get, put, delete and list there."
    )
    return StorageDenied(f"{endpoint} refuses s3://{bucket}/{path}{said}.", remedy=remedy)


def _unavailable(text: str, code: str, status: int | None, bucket: str, endpoint: str) -> MLOpsError:
    if "timed out" in text.lower() or "timedout" in text.lower():
        return TimedOut(
            f"{endpoint} did not answer in time for the bucket '{bucket}'.",
            remedy="Try again; on a slow line set storage.timeout higher.",
        )
    if status is not None:
        said = f"{status} {code}".strip()
        return Unavailable(f"{endpoint} answers {said} for the bucket '{bucket}'.", remedy="Try again later.")
    return Unavailable(
        f"{endpoint} cannot be reached for the bucket '{bucket}': {_reason(text)}.",
        remedy="Check storage.endpoint and that the server runs, then try again.",
    )


def _reason(text: str) -> str:
    """The first line of obstore's message, from where it tells the cause."""
    first = text.strip().partition("\n")[0].strip()
    return first.rpartition(" - ")[2].rstrip(". ") or "no reason given"
