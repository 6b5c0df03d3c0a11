"""The portal that a split master key belongs to. Its settings may have lost the key.

Comes in: the key, or its id. Leaves: the keys of this process, how many data keys need one, the files of a drill. Next:
`key_shares` imports this when a command runs: a help text opens no portal.
"""

from portal import config, schema
from portal.bootstrap import local_master_keys, open_database, open_drill, require_database
from portal.cli.console import actor, progress
from portal.core.errors import InvalidInput, PortalError
from portal.core.secrets import Secret
from portal.features.files.maintenance import Checked
from portal.keyring import repository
from portal.keyring.repository import WrapCount


def local_keys() -> dict[str, Secret]:
    """The master keys that are in this process, by their id. Raises ConfigError."""
    return local_master_keys(*config.load())


async def data_keys_under(key_id: str) -> tuple[int | None, str]:
    """How many data keys of the database are under a master key; None, and why, where it cannot be asked.

    Raises InvalidInput where others are and none is: then the shares are of another key.
    """
    try:
        wraps = await _wraps()
    except PortalError as error:
        return None, str(error)
    under = {wrap.provider_key_id for wrap in wraps}
    if under and key_id not in under:
        needed = ", ".join(sorted(under))
        raise InvalidInput(f"these shares make the master key {key_id}, but the data keys here are under {needed}")
    return sum(wrap.data_keys for wrap in wraps if wrap.provider_key_id == key_id), ""


async def drilled(key: Secret, sample: int, *, as_json: bool) -> tuple[str, list[Checked]]:
    """The id of the key, and what became of the files. Raises ConfigError, NotFound, Unavailable."""
    async with open_drill(*config.load(keys=False), key) as drill:
        with progress("reading files", sample, as_json=as_json, in_bytes=False) as advance:
            return drill.key_id, await drill.run(actor(), sample, advance)


async def _wraps() -> list[WrapCount]:
    settings, _ = config.load(keys=False)
    require_database(settings)
    database = open_database(settings)
    try:
        await schema.require_current(database.engine)
        async with database.read() as connection:
            return await repository.count_wraps(connection)
    finally:
        await database.aclose()
