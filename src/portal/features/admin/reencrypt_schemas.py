"""The JSON of the route that gives files new keys."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.admin.jobs_schemas import JOB_EXAMPLE, JobOut
from portal.features.admin.reencrypt_job import MAX_RATE, Wanted
from portal.web.fields import GivenMoment

_ASKED: JsonDict = {"sealed_before": "2026-11-21T12:00:00Z", "mib_per_second": 50, "dry_run": False}
_PAYLOAD: JsonDict = {"sealed_before": "2026-11-21T12:00:00.000000Z", "mib_per_second": 50, "files": 3400}
_JOB: JsonDict = {**JOB_EXAMPLE, "kind": "files.reencrypt", "payload": _PAYLOAD}
_OUT: JsonDict = {"files": 3400, "bytes": 91268055040, "job": _JOB}


class FileReencryptRequest(BaseModel):
    """Give files new keys and new blobs, or tell how many that are. A file meets every condition that is given."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _ASKED})

    file_id: UUID | None = Field(None, description="Only this file.")
    case_id: UUID | None = Field(None, description="Only files of this case.")
    sealed_before: GivenMoment | None = Field(None, description="Only files whose bytes were encrypted earlier.")
    key_id: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Only files that are exposed with this key: the id of a master key, or of a data key.",
    )
    mib_per_second: int | None = Field(None, ge=1, le=MAX_RATE, description="At most so fast; without it, unbounded.")
    dry_run: bool = Field(False, description="Only count: nothing is changed.")

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.file_id, self.case_id, self.sealed_before, self.key_id, self.mib_per_second)


class FileReencryptOut(BaseModel):
    """How many files get new keys, and the job that does it."""

    model_config = ConfigDict(json_schema_extra={"example": _OUT})

    files: int = Field(description="How many get new keys, or would.")
    bytes: int = Field(description="The size of these files.")
    job: JobOut | None = Field(description="None if nothing was to be changed.")
