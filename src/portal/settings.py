"""The settings: every field is the variable PORTAL_<NAME>. `config` reads and checks them.

Comes in: nothing; `config.load` builds one. Leaves: a frozen `Settings`. Next: `bootstrap` opens what the URLs name.
"""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from sqlalchemy.engine import URL

from portal.core.errors import ConfigError
from portal.core.rates import Rates, parse_rates
from portal.core.secrets import Secret, parse_key
from portal.core.timeouts import ClientTimeouts
from portal.crypto.layout import MAX_INLINE_PLAIN
from portal.db.engine import SslMode, is_local, parse_url


def split_words(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(split_words)]


class Settings(BaseModel):
    """Every setting; each is the variable PORTAL_<NAME>. `docs/configuration.md` has a line for each."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    env: Literal["development", "production"] = Field("development", description="production refuses risky settings")
    debug: bool = Field(False, description="log at debug level; refused in production")
    data_dir: Path = Field(Path("./var"), description="where the embedded database, blobs and the journal live")
    database_url: SecretStr = Field(SecretStr(""), description="sqlite or postgresql URL; SQLite in DATA_DIR if empty")
    allow_sqlite: bool = Field(False, description="accept SQLite in production (one machine, one writer)")
    database_ssl_mode: SslMode | None = Field(None, description="TLS towards Postgres; see `ssl_mode` for the default")
    database_ca: Path | None = Field(None, description="PEM of the only authorities for Postgres' certificate")
    blob_urls: Words = Field((), description="blob stores; the first writes, all are read; in DATA_DIR if empty")
    backup_url: str = Field("", description="where backups go and come from, unless a command says otherwise")
    key_urls: Words = Field(("env:PORTAL_MASTER_KEY",), description="key providers; the first wraps, all unwrap")
    master_key: SecretStr = Field(SecretStr(""), description="32 bytes, hex or base64, for env:PORTAL_MASTER_KEY")
    secret_key: SecretStr = Field(SecretStr(""), description="32-byte signing keys, comma-separated, newest first")
    data_key_days: int = Field(30, ge=1, le=3650, description="an older data key seals no new files")
    data_key_files: int = Field(1_000_000, ge=1000, le=1 << 40, description="nor does one that sealed about so many")
    delete_grace_days: int = Field(7, ge=0, le=3650, description="how long the bytes of a deleted file wait; 0: not")
    scanner_urls: Words = Field(("none:",), description="malware scanners; the worst verdict stands")
    scanner_away: Literal["refuse", "quarantine"] = Field(
        "refuse", description="what becomes of an upload while a scanner is away"
    )
    allowed_hosts: Words = Field(("localhost", "127.0.0.1", "[::1]"), description="Host headers that are answered")
    cors_origins: Words = Field((), description="origins whose pages may call the API")
    trusted_proxies: Words = Field((), description="addresses or networks whose X-Forwarded-For is believed")
    max_upload_bytes: int = Field(64 << 30, gt=0, le=1 << 44, description="largest file, in bytes")
    inline_max_bytes: int = Field(
        1 << 16, ge=0, le=MAX_INLINE_PLAIN, description="up to this size a file lies sealed in the database"
    )
    max_transfers: int = Field(128, ge=1, le=1 << 20, description="transfers at once of one worker, up to 10 MiB each")
    max_transfers_per_caller: int = Field(64, ge=1, le=1 << 20, description="transfers at once of one account or link")
    max_jobs: int = Field(4, ge=0, le=64, description="jobs at once of one serving worker; 0: `portal worker` has them")
    link_roles: Annotated[tuple[Literal["admin", "analyst", "uploader"], ...], BeforeValidator(split_words)] = Field(
        ("admin", "analyst", "uploader"), description="roles whose accounts may make links"
    )
    approvals: Annotated[tuple[Literal["shred", "retire"], ...], BeforeValidator(split_words)] = Field(
        (), description="acts that need a second administrator: shred a case, retire a master key"
    )
    hsts_subdomains: bool = Field(True, description="in production browsers keep to TLS for all subdomains, too")
    registration: Literal["closed", "invite", "open"] = Field("closed", description="who may make an account")
    require_admin_totp: bool = Field(False, description="an administrator without an authenticator can only enrol one")
    session_idle_minutes: int = Field(60, ge=5, le=720, description="a session that long unused is over")
    grace_seconds: int = Field(30, ge=0, le=3600, description="how long a stop waits for running transfers")
    header_timeout_seconds: int = Field(15, ge=1, le=3600, description="how long a request's head may take to arrive")
    stall_seconds: int = Field(60, ge=1, le=3600, description="how long a body or a reader may fall short of the rate")
    min_bytes_per_second: int = Field(1024, ge=1, le=1 << 30, description="the least that a body or a reader must move")
    rate_limits: Words = Field((), description="rates of route classes that differ: upload=50/minute,read=off")
    rate_limit_url: SecretStr = Field(SecretStr(""), description="Redis in which several workers count together")
    rate_limit_ca: Path | None = Field(None, description="PEM of the only authorities that may sign Redis' certificate")
    log_file: Path | None = Field(None, description="JSON log with rotation; standard error if empty")
    docs: bool | None = Field(None, description="serve /docs and /openapi.json; on in development if unset")

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def client_timeouts(self) -> ClientTimeouts:
        return ClientTimeouts(self.header_timeout_seconds, self.stall_seconds, self.min_bytes_per_second)

    @property
    def rates(self) -> Rates:
        """The rate of every route class. Raises ConfigError."""
        return parse_rates(self.rate_limits)

    @property
    def log_level(self) -> int:
        return logging.DEBUG if self.debug else logging.INFO

    @property
    def hsts(self) -> str | None:
        """The Strict-Transport-Security header: TLS only, for two years. None outside production."""
        subdomains = "; includeSubDomains" if self.hsts_subdomains else ""
        return f"max-age=63072000{subdomains}" if self.production else None

    @property
    def serves_docs(self) -> bool:
        return not self.production if self.docs is None else self.docs

    @property
    def database(self) -> str:
        """The database URL in force. It is a secret, because it may contain a password."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir.absolute() / 'portal.db'}"

    @property
    def ssl_mode(self) -> SslMode:
        """DATABASE_SSL_MODE, or its default.

        The default is `verify-full` with DATABASE_CA, or in production towards another machine; otherwise `prefer`,
        which takes TLS if the server offers it.
        """
        url = database_url_of(self)
        remote = url is not None and not is_local(url)
        verified = self.database_ca is not None or (self.production and remote)
        return self.database_ssl_mode or ("verify-full" if verified else "prefer")

    @property
    def blobs(self) -> tuple[str, ...]:
        """The blob store URLs in force."""
        return self.blob_urls or ((self.data_dir.absolute() / "store").as_uri(),)

    @property
    def secret_keys(self) -> tuple[Secret, ...]:
        """The keys in SECRET_KEY, newest first. Invalid entries are left out here; `load` refuses them."""
        parsed = (parse_key(text) for text in split_words(self.secret_key.get_secret_value()))
        return tuple(key for key in parsed if key is not None)


def database_url_of(settings: Settings) -> URL | None:
    """The parsed URL of the database in force; None where it is none."""
    try:
        return parse_url(settings.database)
    except ConfigError:
        return None
