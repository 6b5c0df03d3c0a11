"""The JSON of the routes for keys."""

from dataclasses import asdict
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.admin.jobs_schemas import JOB_EXAMPLE, JobOut
from portal.features.admin.key_views import KeysStatus, KeyStatus
from portal.web.fields import Moment

_VERSION: JsonDict = {"version": 2, "data_keys": 12}
_KEY: JsonDict = {
    "key_id": "vault-transit:transit/portal",
    "status": "away",
    "reason": "no answer in time",
    "wraps": True,
    "versions": [_VERSION],
    "data_keys": 12,
    "files": 3400,
    "bytes": 91268055040,
    "backups": 14,
    "oldest_active_at": "2026-11-02T08:00:00.000000Z",
    "newest_active_at": "2026-11-21T12:00:00.000000Z",
    "loss": "3400 file(s) become unreadable, 91268055040 bytes: 3000 in 11 case(s), 400 in inboxes. "
    "14 backup(s) cannot be opened. Uploads are refused until another provider is the first.",
}


_STATUS: JsonDict = {"master_keys": [_KEY], "outdated_authenticators": 0, "outdated_signing_keys": 0}
_JOB: JsonDict = {**JOB_EXAMPLE, "kind": "keys.rewrap", "payload": {"key_id": "vault-transit:transit/portal"}}
_RESEAL: JsonDict = {
    "authenticators": 7,
    "signing_keys": 1,
    "job": {**_JOB, "kind": "keys.reseal", "payload": {"key_id": "16d51bbb4b86ad7a", "secrets": 8}},
}
_ROTATION: JsonDict = {"case_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d", "dry_run": False}


class KeyRewrapRequest(BaseModel):
    """Bring data keys under the newest master key, or tell how many that are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"dry_run": True}})

    dry_run: bool = Field(False, description="Only count: nothing is changed.")


class KeyRewrapOut(BaseModel):
    """How many data keys are wrapped anew, and the job that does it."""

    model_config = ConfigDict(json_schema_extra={"example": {"data_keys": 12, "scopes": 11, "job": _JOB}})

    data_keys: int = Field(description="How many are wrapped anew, or would be.")
    scopes: int = Field(description="Cases with such a data key; all inboxes together are one more.")
    job: JobOut | None = Field(description="None if nothing was to be changed.")


class KeyResealRequest(BaseModel):
    """Bring secrets under the newest secret key, or tell how many that are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"dry_run": True}})

    dry_run: bool = Field(False, description="Only count: nothing is changed.")


class KeyResealOut(BaseModel):
    """How many secrets are sealed anew, and the job that does it."""

    model_config = ConfigDict(json_schema_extra={"example": _RESEAL})

    authenticators: int = Field(description="Authenticators whose secret is not under the newest secret key.")
    signing_keys: int = Field(description="The same of signing keys: none or one.")
    job: JobOut | None = Field(description="None if nothing was to be changed.")


class KeyRotateRequest(BaseModel):
    """Retire data keys, or tell how many that are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _ROTATION})

    case_id: UUID | None = Field(None, description="Only that of this case; without it, all.")
    dry_run: bool = Field(False, description="Only count: nothing is changed.")


class KeyRotateOut(BaseModel):
    """How many data keys were retired, or would be."""

    model_config = ConfigDict(json_schema_extra={"example": {"data_keys": 12}})

    data_keys: int = Field(description="How many were retired, or would be.")


class KeyVersionOut(BaseModel):
    """One version of a master key."""

    model_config = ConfigDict(json_schema_extra={"example": _VERSION})

    version: int = Field(description="As its provider counts them.")
    data_keys: int = Field(description="How many data keys it wraps.")


class MasterKeyOut(BaseModel):
    """A master key: how it is, and what it protects."""

    model_config = ConfigDict(json_schema_extra={"example": _KEY})

    key_id: str = Field(description="As its provider gives it; no UUID, and no secret.")
    status: KeyStatus = Field(description="As it is known, some seconds old at most.")
    reason: str | None = Field(description="Why it is away.")
    wraps: bool = Field(description="It wraps new data keys.")
    versions: list[KeyVersionOut] = Field(description="Those in use, where its provider has versions.")
    data_keys: int = Field(description="How many data keys it wraps.")
    files: int = Field(description="How many files are under these data keys.")
    bytes: int = Field(description="The size of these files.")
    backups: int = Field(description="How many backups that the portal knows are under it.")
    oldest_active_at: Moment | None = Field(description="When the oldest data key that seals new files was made.")
    newest_active_at: Moment | None = Field(description="When the newest one was made.")
    loss: str = Field(description="What is lost with this master key, in plain words.")


class KeysOut(BaseModel):
    """Every master key that is configured or wraps a data key."""

    model_config = ConfigDict(json_schema_extra={"example": _STATUS})

    master_keys: list[MasterKeyOut] = Field(description="The one that wraps new data keys comes first.")
    outdated_authenticators: int = Field(description="How many are not sealed under the newest secret key.")
    outdated_signing_keys: int = Field(description="The same of signing keys: none or one.")

    @classmethod
    def of(cls, status: KeysStatus) -> "KeysOut":
        return cls.model_validate(asdict(status))
