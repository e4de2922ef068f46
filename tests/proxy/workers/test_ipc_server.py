"""Who may ask the parent of the workers for its secrets."""

import asyncio
import sys
from pathlib import Path

import pytest

from cab.proxy.accounting.admission import LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.workers.ipc_protocol import packed
from cab.proxy.workers.ipc_server import CellRegistryServer
from cab.proxy.workers.worker_slot import WorkerSlot

ASK = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    "s.sendall(bytes.fromhex(sys.argv[2])); print(s.recv(9999))"
)


@pytest.mark.parametrize(("shell", "told"), [([], True), (["sh", "-c", '"$@"; exit', "sh"], False)])
async def test_only_its_children_are_told(
    shell: list[str], told: bool, tmp_path: Path, memory: SharedMemory
) -> None:
    """A process of the same user that is no child of the parent gets nothing from its socket."""
    registry = LocalCellRegistry(CellStates(), 20)
    server = CellRegistryServer(registry, [WorkerSlot(0)], ["secret"], memory)
    async with server.listening(tmp_path / "cells"):
        question = packed([1, "configuration", [0]]).hex()
        words = [*shell, sys.executable, "-c", ASK, str(tmp_path / "cells"), question]
        asker = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        answer, _ = await asker.communicate()

    assert (b"secret" in answer) is told
