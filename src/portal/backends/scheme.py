"""Schemes of backend URLs. A scheme opens a backend, and declares the settings that the backend takes beside its URL.

Comes in: the rest of a URL, and the portal's variables. Leaves: a backend, or a ConfigError. Next: a registry lists the
schemes of its kind. `config` collects their variables; any other PORTAL_ variable stops the start.

    class VaultSettings(BackendSettings):
        vault_token: SecretStr = Field(description="the token with which the portal signs in")

    "vault": Scheme(lambda rest, variables: VaultProvider(rest, VaultSettings.read(variables)), VaultSettings)

Then PORTAL_VAULT_TOKEN is a setting, PORTAL_VAULT_TOKEN_FILE may name a file with its value, and the value is never
shown.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from portal.core.errors import ConfigError

_T_co = TypeVar("_T_co", covariant=True)


class BackendSettings(BaseModel):
    """Settings of a backend beside its URL. Each field is the variable PORTAL_<NAME>; a SecretStr is never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)

    @classmethod
    def fields(cls) -> dict[str, FieldInfo]:
        """The fields, by the name of their variable."""
        return {_variable(name): field for name, field in cls.model_fields.items()}

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Read the settings from `variables`; an empty variable means the default.

        Raises ConfigError, which names each refused variable and no value; also for a `problem`.
        """
        values = {name: text for name in cls.model_fields if (text := variables.get(_variable(name)))}
        settings = cls._validated(values)
        if problem := settings.problem:
            raise ConfigError(problem)
        return settings

    @property
    def problem(self) -> str | None:
        """What is missing, or does not fit together; None if nothing is."""
        return None

    @classmethod
    def _validated(cls, values: dict[str, str]) -> Self:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = [f"{cls._named(item['loc'])}: {item['msg']}" for item in error.errors()]
        raise ConfigError(*problems)

    @classmethod
    def _named(cls, where: tuple[int | str, ...]) -> str:
        """The variable that is refused; all of them where they do not fit together."""
        return _variable(str(where[0])) if where else ", ".join(cls.fields())


@dataclass(frozen=True, slots=True)
class Scheme(Generic[_T_co]):
    """One scheme of a kind of backend. `open` gets the URL without `scheme:`, and the portal's variables."""

    open: Callable[[str, Mapping[str, str]], _T_co]
    settings: type[BackendSettings] = BackendSettings


def fields_of(*kinds: Mapping[str, Scheme[object]]) -> dict[str, FieldInfo]:
    """The settings of every scheme of these kinds of backend, by the name of the variable."""
    schemes = [scheme for kind in kinds for scheme in kind.values()]
    return {name: field for scheme in schemes for name, field in scheme.settings.fields().items()}


def is_secret(field: FieldInfo) -> bool:
    """Whether the field's value must never be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def problems_of(
    urls: Sequence[str], schemes: Mapping[str, Scheme[object]], variables: Mapping[str, str]
) -> tuple[str, ...]:
    """One line for each refused setting of the backends that these URLs name."""
    named = dict.fromkeys(url.partition(":")[0] for url in urls)
    problems = [_problems(schemes[name].settings, variables) for name in named if name in schemes]
    return tuple(itertools.chain(*problems))


def _problems(settings: type[BackendSettings], variables: Mapping[str, str]) -> tuple[str, ...]:
    try:
        settings.read(variables)
    except ConfigError as error:
        return tuple(error.problems)
    return ()


def _variable(field: str) -> str:
    return f"PORTAL_{field.upper()}"
