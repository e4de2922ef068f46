"""Installs the agent of an image; runs inside its build, with the image's own `cab`.

python -m cab.adapters.install.images.inside_build AGENT.JSON FOLDER
"""

import shutil
import sys
from pathlib import Path

from cab.adapters.agents.base import PyPIInstall
from cab.adapters.errors import InstallFailed
from cab.adapters.install.images.agent_need import AgentNeed, BinaryNeed
from cab.adapters.install.install import install_into, stamp
from cab.adapters.install.python import find_interpreter, versions_text


def main(file: Path, folder: Path) -> None:
    """Install the agent that a file describes into a folder.

    Raises:
        InstallFailed: It cannot be installed; what to do is named.
    """
    agent = AgentNeed.model_validate_json(file.read_bytes())
    if isinstance(agent.need, BinaryNeed):
        program = folder / "bin" / agent.need.executable
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.with_name(agent.need.file), program)
        program.chmod(0o755)
        stamp(folder, agent.name, agent.version)
        return
    if isinstance(agent.need, PyPIInstall) and find_interpreter(agent.need) is None:
        wanted = versions_text(agent.need)
        why = f"it needs {wanted}, which the base image does not have; give one that has it with --base"
        raise InstallFailed(agent.name, why)
    install_into(folder, agent.name, agent.version, agent.need, use_uv=False)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except InstallFailed as error:
        if error.log is not None and error.log.is_file():
            # The log would be lost with the build.
            sys.stderr.write(error.log.read_text(errors="replace"))
        sys.exit(f"cab: {' '.join(error.reason.split())}")
