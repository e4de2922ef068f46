"""Files of a lake without the rows that no longer hold."""

import os
from collections.abc import Mapping

from cab.adapters.commands.lake.state import LakeState, Move
from cab.adapters.commands.parquet import pyarrow_module
from cab.adapters.errors import AdapterError


def without_cells(lake: LakeState, gone: Mapping[str, set[str]]) -> list[Move]:
    """Write files again without some cells; return what puts them in their place.

    Args:
        lake: The lake.
        gone: File -> values of `run_key` whose rows are left out.

    Raises:
        AdapterError: A file is missing, or is not one of a lake's.
    """
    moves: list[Move] = []
    for number, (name, keys) in enumerate(gone.items()):
        arrow, parquet = pyarrow_module("pyarrow"), pyarrow_module("pyarrow.parquet")
        compute = pyarrow_module("pyarrow.compute")
        try:
            table = parquet.ParquetFile(lake.folder / name).read()
        except (OSError, arrow.ArrowException) as error:
            raise AdapterError(
                f"{lake.folder / name}: {error}; bring the file back, or export to a new folder"
            ) from error
        old = compute.is_in(table["run_key"], value_set=arrow.array(sorted(keys)))
        kept = table.filter(compute.invert(old))
        if not kept.num_rows:
            moves.append(Move(None, name))
            continue
        part = f"again-{number}.parquet"
        with (lake.parts / part).open("wb") as handle:
            parquet.write_table(kept, handle, compression="zstd")
            handle.flush()
            os.fsync(handle.fileno())
        moves.append(Move(part, name))
    return moves
