"""Bootstrap: the only module that opens backends. Comes in: settings. Leaves: a `Portal` whose parts were checked.

Next: `app` serves it, `cli` uses it.
"""

import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from portal import schema, tables
from portal.backends.blobs.base import StoreAway
from portal.backends.blobs.registry import open_blob_store, open_blob_stores
from portal.backends.keys.base import KeyProvider, KeyProviderError
from portal.backends.keys.registry import master_keys_in, open_key_providers, provider_of
from portal.backends.scanners.registry import open_scanners
from portal.core.cursor import Cursors
from portal.core.errors import ConfigError
from portal.core.principal import CredentialKind, Principal, Role
from portal.core.secrets import Secret
from portal.db.connection import Connection
from portal.db.engine import make_engine, parse_url
from portal.db.reasons import reason
from portal.db.unit_of_work import Database
from portal.features.admin import jobs as job_control
from portal.features.admin import keys as keys_service
from portal.features.admin import reencryption
from portal.features.admin.drill import Drill
from portal.features.admin.jobs import JobControl
from portal.features.admin.keys import Keys
from portal.features.admin.reencryption import FileKeys
from portal.features.audit import service as audit_service
from portal.features.audit.service import Audit
from portal.features.authz.actions import Action
from portal.features.backups import service as backups_service
from portal.features.backups.service import Backups
from portal.features.backups.targets import OpenStore
from portal.features.cases import service as cases_service
from portal.features.cases.service import Cases
from portal.features.custody import service as custody_service
from portal.features.custody.service import Custody
from portal.features.custody.views import Act
from portal.features.files import service as files_service
from portal.features.files.access import require_in_case
from portal.features.files.maintenance import Maintenance
from portal.features.files.rights.grants import end_grants_of
from portal.features.files.service import Files
from portal.features.identity import service as identity_service
from portal.features.identity.service import Identity, Rules
from portal.features.jobs.service import Jobs
from portal.features.links import service as links_service
from portal.features.links.endings import end_links_of
from portal.features.links.service import Links
from portal.features.signing.keys import SigningKeys
from portal.features.tokens.service import ApiTokens, end_tokens_of
from portal.job_kinds import job_kinds
from portal.keyring.keyring import KeyLimits, Keyring
from portal.resources import Resources
from portal.settings import Settings
from portal.stores.stores import Stores
from portal.strongbox.strongbox import Strongbox
from portal.web.counters import SharedCounters

_FOR_OPERATORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True, slots=True)
class Portal:
    """An open portal: its resources and its services. `warnings` are those of the scanners, as it was opened."""

    resources: Resources
    warnings: tuple[str, ...]
    cursors: Cursors
    audit: Audit
    identity: Identity
    tokens: ApiTokens
    cases: Cases
    files: Files
    links: Links
    signing: SigningKeys
    backups: Backups
    keys: Keys
    custody: Custody
    file_keys: FileKeys
    jobs: Jobs
    job_control: JobControl


def open_resources(settings: Settings, variables: Mapping[str, str]) -> Resources:
    """The resources that the settings name. Raises ConfigError. No backend was contacted yet: see `Resources.check`."""
    keys = open_key_providers(settings.key_urls, variables)
    scanners = open_scanners(settings.scanner_urls, variables)
    stores, database = open_stores(settings, variables), open_database(settings)
    keyring = Keyring(database, keys, KeyLimits(settings.data_key_days, settings.data_key_files))
    return Resources(
        database=database,
        stores=stores,
        keyring=keyring,
        scanners=scanners,
        strongbox=Strongbox(stores, keyring, scanners),
        secret_keys=settings.secret_keys,
        journal=settings.data_dir / "audit-journal.jsonl",
        max_upload_bytes=settings.max_upload_bytes,
        row_bytes=settings.inline_max_bytes,
        transfers_per_caller=settings.max_transfers_per_caller,
        transfers=settings.max_transfers,
        scan_required=settings.scanner_away == "refuse",
        delete_grace=timedelta(days=settings.delete_grace_days),
    )


def open_database(settings: Settings) -> Database:
    """The database alone: it needs no key. Raises ConfigError."""
    _make_data_dir(settings)
    return Database(make_engine(parse_url(settings.database), settings.ssl_mode, settings.database_ca))


def open_stores(settings: Settings, variables: Mapping[str, str]) -> Stores:
    """The blob stores alone: they need no key. Raises ConfigError."""
    return Stores(open_blob_stores(settings.blobs, variables))


def local_master_keys(settings: Settings, variables: Mapping[str, str]) -> dict[str, Secret]:
    """The master keys that are in this process, by their id. Raises ConfigError."""
    return master_keys_in(settings.key_urls, variables)


@asynccontextmanager
async def open_drill(settings: Settings, variables: Mapping[str, str], master_key: Secret) -> AsyncIterator[Drill]:
    """The files alone, under a master key that no setting names. Raises ConfigError, Unavailable, NotFound."""
    require_database(settings)
    database, stores = open_database(settings), open_stores(settings, variables)
    provider = provider_of(master_key)
    keyring = Keyring(database, [provider])
    try:
        await schema.require_current(database.engine)
        await stores.recognise(database)
        await stores.check()
        yield Drill(database, Maintenance(database, Strongbox(stores, keyring, ())), provider.key_id)
    finally:
        await keyring.aclose()
        await stores.aclose()
        await database.aclose()


@asynccontextmanager
async def opened_providers(settings: Settings, variables: Mapping[str, str]) -> AsyncIterator[dict[str, KeyProvider]]:
    """The key providers alone, by the id of their master key. Raises ConfigError."""
    providers = open_key_providers(settings.key_urls, variables)
    try:
        yield {provider.key_id: provider for provider in providers}
    finally:
        for provider in providers:
            await provider.aclose()


def target_opener(variables: Mapping[str, str]) -> OpenStore:
    """What opens the store of a backup target, uncontacted. Raises ConfigError."""
    return lambda url: open_blob_store(url, variables, "PORTAL_BACKUP_URL")


def has_database(settings: Settings) -> bool:
    """False if the database is a SQLite file that does not exist. A connection to it would create an empty file."""
    url = parse_url(settings.database)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def require_database(settings: Settings) -> None:
    """Raises ConfigError if there is no database: only `init` and `db upgrade` create one."""
    if not has_database(settings):
        path = parse_url(settings.database).database
        raise ConfigError(f"there is no database {path}: run this in the portal's folder or give --env-file PATH")


def open_counters(settings: Settings) -> SharedCounters | None:
    """The counters in the Redis of PORTAL_RATE_LIMIT_URL, uncontacted; None if it is empty. Raises ConfigError."""
    url = settings.rate_limit_url.get_secret_value()
    return SharedCounters(Secret(url.encode()), settings.rate_limit_ca) if url else None


@asynccontextmanager
async def open_portal(
    settings: Settings, variables: Mapping[str, str], *, database_only: bool = False
) -> AsyncIterator[Portal]:
    """Open a portal whose parts all answered and whose database is current. Raises ConfigError, Unavailable.

    With `database_only` no other part is asked: for work that opens no file and makes none.
    """
    require_database(settings)
    resources = open_resources(settings, variables)
    try:
        await schema.require_current(resources.database.engine)
        warnings = () if database_only else await check_parts(resources, settings)
        idle = timedelta(minutes=settings.session_idle_minutes)
        rules = Rules(settings.registration, settings.require_admin_totp, idle)
        audit = audit_service.build(resources)
        identity = identity_service.build(resources, rules=rules)
        tokens = ApiTokens(
            resources.database, identity.authenticators, _known_case, require_admin_totp=settings.require_admin_totp
        )
        identity.authenticators.add(CredentialKind.TOKEN, tokens)
        cases = cases_service.build(resources, identity.revocations)
        files = files_service.build(resources, identity, audit)
        identity.revocations.add("grants", end_grants_of)
        identity.revocations.add("links", end_links_of)
        links = links_service.build(resources, identity, files, frozenset(map(Role, settings.link_roles)))
        identity.authenticators.add(CredentialKind.LINK, links.sessions)
        identity.revocations.add("api_tokens", end_tokens_of)
        signing = SigningKeys(resources.database, resources.secret_keys)
        keys = keys_service.build(resources, identity.authenticators, signing, settings.backup_url)
        approved = frozenset(map(Act, settings.approvals))
        custody = custody_service.build(resources, identity.authenticators, signing, keys, approved)
        file_keys = reencryption.build(resources, identity.authenticators)
        backups = backups_service.build(resources, target_opener(variables), tables.metadata, schema.newest_revision())
        kinds = job_kinds(resources.database, identity, tokens, files, links, backups, keys, custody, file_keys)
        jobs = Jobs(resources.database, kinds)
        yield Portal(
            resources=resources,
            warnings=warnings,
            cursors=Cursors(resources.secret_keys),
            audit=audit,
            identity=identity,
            tokens=tokens,
            cases=cases,
            files=files,
            links=links,
            signing=signing,
            backups=backups,
            keys=keys,
            custody=custody,
            file_keys=file_keys,
            jobs=jobs,
            job_control=job_control.build(resources, jobs, identity.authenticators),
        )
    finally:
        await resources.aclose()


async def _known_case(connection: Connection, principal: Principal, case_id: UUID) -> None:
    await require_in_case(connection, principal, Action.CASE_READ, case_id)


async def check_parts(resources: Resources, settings: Settings) -> tuple[str, ...]:
    """Check the stores' ids and `Resources.check`, whose warnings are returned; errors have the reason.

    Raises Unavailable if a later try may help; ConfigError if only other settings or file permissions help.
    """
    try:
        await resources.stores.recognise(resources.database)
        return await resources.check()
    except KeyProviderError as error:
        if error.missing is None:
            text = f"the key providers {', '.join(resources.keyring.provider_key_ids)}: {reason(error)}; try again"
            raise KeyProviderError(text) from error
        raise ConfigError(
            f"the data keys of this portal are wrapped under the master key {error.missing}, which PORTAL_KEY_URLS "
            "does not give: name the provider that the portal was set up with, or set PORTAL_MASTER_KEY to its key"
        ) from error
    except StoreAway as error:
        text = f"the blob stores {', '.join(settings.blobs)}: {reason(error)}"
        refused = isinstance(error.__cause__, OSError) and error.__cause__.errno in _FOR_OPERATORS
        raise (ConfigError(text) if refused else StoreAway(f"{text}; try again")) from error


def _make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"PORTAL_DATA_DIR: {settings.data_dir} cannot be made ({error.strerror})") from None
