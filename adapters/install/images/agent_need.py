"""What the build of an image must know about an agent: its name, its version, and how it is installed."""

from pydantic import BaseModel, ConfigDict

from cab.adapters.agents.base import NpmInstall, PyPIInstall


class BinaryNeed(BaseModel):
    """An agent that is one file, given by the user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Its name in the context of the build."""
    executable: str
    """Its name in the image."""


class AgentNeed(BaseModel):
    """The agent of an image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    need: PyPIInstall | NpmInstall | BinaryNeed

    @property
    def purl(self) -> str | None:
        """What was installed, as a package URL; None for a file of the user's.

        >>> AgentNeed(name="codex", version="1.0", need=NpmInstall("@openai/codex", "codex")).purl
        'pkg:npm/%40openai/codex@1.0'
        """
        match self.need:
            case PyPIInstall(package=package):
                return f"pkg:pypi/{package}@{self.version}"
            case NpmInstall(package=package):
                return f"pkg:npm/{package.replace('@', '%40')}@{self.version}"
            case _:
                return None
