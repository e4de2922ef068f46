"""Settings from the variables of an environment."""

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from cab.proxy.cli.flags import PREFIX, variable_of
from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig


class _SettingsModel(ProxySettings, BaseSettings):
    """The settings in the form that pydantic-settings reads; never instantiated."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)


class EnvironmentSource(EnvSettingsSource):
    """Reads settings from variables; lists and tables are JSON."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(_SettingsModel)
        names = map(variable_of, ProxySettings.model_fields)
        self.env_vars = {name.lower(): environment[name] for name in names if environment.get(name)}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 - as the base
        """Return the value of JSON text.

        Raises:
            BadConfig: It is not JSON.
        """
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            raise BadConfig(f"{variable_of(field_name)} is not valid JSON: {error}") from error
