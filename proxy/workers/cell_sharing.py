"""The parent's side of shared cells: it lets workers admit calls by themselves, and takes that back.

A cell is *shared* while workers go by its counters in the shared memory, or it is the parent's. To decide a
call the parent first *settles* the cell: it suspends the counters, and asks all workers that may know more
than it does for their word. Then its own state of the cell is exact. After its decision it shares the cell
again if there is room for further calls.

Workers that have calls in flight get the place of the counters before it is opened (they are *armed*): when
one of these calls ends, either the counters hold it, or the place is not opened.

Numbers that were taken and that nobody has told of stand for calls in flight (*placeholders*) as long as a
worker may know of them: one that was killed, until its chain has been recovered, or one that hangs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from cab.proxy.accounting.admission import AdmissionRequest, LocalCellRegistry
from cab.proxy.accounting.cell_report import Numbers, PackedReport
from cab.proxy.accounting.shared_cell import MOST, CellShare, counters_of, has_room, share_of
from cab.proxy.accounting.shared_memory import SharedMemory
from cab.proxy.workers.rounds import Rounds
from cab.proxy.workers.worker_slot import WorkerSlot
from cab.scoring.ledger.totals import Fields

_ALL = object()
"""Topic of a round about all cells."""
_NOWHERE = -1
"""Place of counters that will not be opened."""


@dataclass(slots=True)
class _Shared:
    place: int
    generation: int
    share: CellShare
    numbers: Numbers


class CellSharing:
    """Which cells are shared, and who knows of calls that the parent does not know.

    Args:
        registry: State of all cells.
        slots: The workers.
        memory: What they share.
        answer_s: How long a worker may take for its word.
    """

    def __init__(
        self,
        registry: LocalCellRegistry,
        slots: list[WorkerSlot],
        memory: SharedMemory,
        answer_s: float,
    ) -> None:
        self.ipc_round_trips = 0
        self._registry = registry
        self._slots = slots
        self._memory = memory
        self._rounds = Rounds(answer_s)
        self._shared: dict[str | None, _Shared] = {}
        self._places: dict[str | None, int] = {}
        """Places of cells that are or were shared, those longest there first."""
        self._free = list(range(memory.places))
        self._last_generation = 0
        self._armed: dict[str | None, int] = {}
        """The generation that a cell is shared with next, if its workers are armed for that."""
        self._placeholders: dict[str | None, dict[int, str]] = {}
        registry.elsewhere = self

    # What the workers say.

    def take(self, slot: WorkerSlot, report: PackedReport) -> None:
        """Take what a worker has to tell of a cell."""
        cell_id = report.cell_id
        for call_id, number, _ in report.begun:
            slot.begin(call_id, cell_id, number)
        for call_id in report.ended:
            slot.end(call_id)
        report.merge(self._registry.cell(cell_id), lambda number: self._told(cell_id, number))
        shared = self._shared.get(cell_id)
        if shared is not None and slot.armed.get(cell_id) != shared.generation:
            self._suspend(shared)  # it comes late: the counters do not hold what it tells

    def _told(self, cell_id: str | None, number: int) -> None:
        placeholder = self._placeholders.get(cell_id, {}).pop(number, None)
        if placeholder is not None:
            self._registry.cell(cell_id).finish(placeholder)
        elif (shared := self._shared.get(cell_id)) is not None:
            shared.numbers.told(number)

    def answered(self, slot: WorkerSlot, number: int, cells: list[str | None]) -> None:
        """Take a worker's word: it has told all that it knows, and admits no calls of these cells."""
        for cell_id in cells:
            slot.held.discard(cell_id)
            if not self._rounds.answered(cell_id, slot, number):
                self._forget_placeholders(cell_id)
        if not cells:
            self._rounds.answered(_ALL, slot, number)

    def gone(self, slot: WorkerSlot) -> None:
        """Take note that a worker's connection has ended."""
        slot.tell = None
        slot.armed.clear()
        self._rounds.gone(slot)

    def left(self, slot: WorkerSlot) -> None:
        """Take note that a worker has told all, and ends."""
        for cell_id in list(slot.held):
            slot.held.discard(cell_id)
            self._forget_placeholders(cell_id)

    def give_up(self, slot: WorkerSlot, cell_id: str | None, call_id: str) -> None:
        """Undo the admission of a call that has not waited for it."""
        if call_id not in slot.calls:
            return
        number = slot.numbers.get(call_id)
        slot.end(call_id)
        if number is not None:
            self._registry.cell(cell_id).give_back(number)
        self._registry.finish_soon(cell_id, call_id, None)
        if (shared := self._shared.get(cell_id)) is not None:
            self._suspend(shared)  # its counters hold the call

    # What the parent decides.

    def share_for(self, slot: WorkerSlot, cell_id: str | None, generation: int) -> bool:
        """Let a worker go by the counters of a cell that others share already.

        Args:
            slot: The worker.
            cell_id: The cell.
            generation: Of which users it was when it asked; 0 if of none.

        Returns:
            Whether it may try now; if not, the parent is to decide.
        """
        shared = self._shared.get(cell_id)
        if shared is None or cell_id in self._rounds:
            return False
        place = shared.place
        if generation == shared.generation or not self._memory.holds(place, shared.generation):
            return False
        if slot.armed.get(cell_id) != shared.generation and slot.has_calls(cell_id):
            return False  # one of these calls could end before the worker knows where to count it
        self._tell(slot, cell_id, shared)
        return True

    def is_settled(self, cell_id: str | None) -> bool:
        """Return whether the state of a cell is exact without a question to anybody."""
        return (
            cell_id not in self._shared and cell_id not in self._rounds and not self._asked(cell_id)
        )

    async def settle(self, cell_id: str | None) -> None:
        """Return once the parent knows of all calls of a cell, and no worker admits any."""
        if not self.is_settled(cell_id):
            await self._rounds.join(cell_id, lambda: self._begin(cell_id))

    async def settle_all(self) -> bool:
        """Return once the parent knows of all calls, and whether it does."""
        return await self._rounds.join(_ALL, self._begin_all)

    def _begin_all(self) -> None:
        # Not those that have no call to tell of: one that is just starting takes its time to answer.
        asked = [s for s in self._slots if s.tell is not None and (s.calls or s.held)]
        self._rounds.ask(_ALL, asked, (_NOWHERE, 0, []), lambda: None)

    def share(self, slot: WorkerSlot, ask: AdmissionRequest) -> None:
        """Share a cell after the parent has admitted a call, if there is room for further ones.

        Args:
            slot: Who asked.
            ask: The call.
        """
        cell_id = ask.cell_id
        cell = self._registry.cell(cell_id)
        if cell_id in self._rounds or cell_id in self._shared:
            return
        if cell.sealed or cell.has_waiting or cell.unused:
            return
        generation = self._armed.pop(cell_id, None)
        if generation is None:
            generation = self._next_generation()
        if any(each.armed.get(cell_id) != generation for each in self._busy(cell_id, ask.call_id)):
            return
        share, counters = share_of(cell, self._registry.on_unknown), counters_of(cell)
        # The limit of calls at the same time is left out: a place comes free with the end of a call.
        limits = replace(ask.limits, max_concurrency=None)
        if max(counters) > MOST or not has_room(share, counters, limits, counts=ask.counts):
            return
        place = self._place(cell_id)
        if place is None or not self._memory.open(place, generation, counters):
            return
        shared = _Shared(place, generation, share, Numbers(cell.last_seq))
        self._shared[cell_id] = shared
        for each in self._slots:
            if each is slot or each.armed.get(cell_id) == generation:
                self._tell(each, cell_id, shared)

    def _tell(self, slot: WorkerSlot, cell_id: str | None, shared: _Shared) -> None:
        if slot.tell is not None:
            slot.held.add(cell_id)
            slot.armed[cell_id] = shared.generation
            slot.tell("share", cell_id, shared.place, shared.generation, shared.share.packed())

    def _busy(self, cell_id: str | None, new_call_id: str) -> list[WorkerSlot]:
        """Return the workers that have calls of a cell in flight besides one that is admitted just now."""
        others = [(s, [c for c, of in s.calls.items() if of == cell_id]) for s in self._slots]
        return [
            slot for slot, calls in others if slot.tell is not None and set(calls) - {new_call_id}
        ]

    def _asked(self, cell_id: str | None) -> list[WorkerSlot]:
        """Return the workers that may know more of a cell than the parent does."""
        return [
            slot
            for slot in self._slots
            if slot.tell is not None and (cell_id in slot.held or slot.has_calls(cell_id))
        ]

    def _begin(self, cell_id: str | None) -> None:
        """Suspend the counters of a cell, and ask for the word of the workers."""
        if (shared := self._shared.get(cell_id)) is not None:
            self._suspend(shared)
        asked = self._asked(cell_id)
        place = None if self._registry.cell(cell_id).sealed else self._place(cell_id)
        generation = self._next_generation()
        for slot in asked:
            slot.armed[cell_id] = generation
        if place is not None:
            self._armed[cell_id] = generation
        message = _NOWHERE if place is None else place, generation, [cell_id]
        self._rounds.ask(cell_id, asked, message, lambda: self._end(cell_id))

    def _end(self, cell_id: str | None) -> None:
        """Take a cell back whose workers have told all that they know."""
        shared = self._shared.pop(cell_id, None)
        if shared is not None:
            cell = self._registry.cell(cell_id)
            hangs = any(slot.tell is not None and cell_id in slot.held for slot in self._slots)
            cell.last_seq = self._memory.last_seq(shared.place, more=hangs)
            for number in shared.numbers.untold(cell.last_seq):
                placeholder = f"{number} of {cell_id}"
                self._placeholders.setdefault(cell_id, {})[number] = placeholder
                cell.begin(placeholder)
            self._forget_placeholders(cell_id)
        if self._registry.cell(cell_id).sealed:
            self._free_place(cell_id)

    def _suspend(self, shared: _Shared) -> None:
        self._memory.suspend(shared.place)

    def _forget_placeholders(self, cell_id: str | None) -> None:
        """Let go of numbers that nobody will tell of any more: they were taken and not used."""
        if cell_id in self._shared or any(cell_id in slot.held for slot in self._slots):
            return
        cell = self._registry.cell(cell_id)
        for number, placeholder in self._placeholders.pop(cell_id, {}).items():
            cell.give_back(number)
            cell.finish(placeholder)

    def _place(self, cell_id: str | None) -> int | None:
        """Return the place of a cell; None if there is none free, and the oldest one is being given up."""
        place = self._places.get(cell_id)
        if place is None and self._free:
            place = self._places[cell_id] = self._free.pop()
        elif place is None and self._places:
            self._give_up(next(iter(self._places)))
        return place

    def _give_up(self, cell_id: str | None) -> None:
        if cell_id in self._rounds:
            return
        if cell_id in self._shared:
            self._begin(cell_id)
        else:
            self._free_place(cell_id)

    def _free_place(self, cell_id: str | None) -> None:
        place = self._places.pop(cell_id, None)
        if place is None:
            return
        self._free.append(place)
        self._armed.pop(cell_id, None)
        for slot in self._slots:
            if slot.armed.pop(cell_id, None) is not None and slot.tell is not None:
                slot.tell("unshare", cell_id)

    def _next_generation(self) -> int:
        self._last_generation += 1
        return self._last_generation

    # What a dead worker leaves.

    def untold(self, slot: WorkerSlot) -> dict[str | None, "Untold"]:
        """Return which numbers of which cells only a worker can know of that has died."""
        return {cell_id: self._untold(cell_id) for cell_id in slot.held}

    def _untold(self, cell_id: str | None) -> "Untold":
        shared = self._shared.get(cell_id)
        placeholders = self._placeholders.get(cell_id, {})
        return Untold(frozenset(placeholders), None if shared is None else shared.numbers)

    def end_calls(
        self, slot: WorkerSlot, ends: Mapping[str, Fields], untold: Iterable[Fields]
    ) -> None:
        """Take the calls of a worker that has died out of flight.

        Args:
            slot: The worker.
            ends: END records of calls that it had told of, by call.
            untold: END records of calls that it had not told of.
        """
        for call_id, cell_id in slot.calls.items():
            end, number = ends.get(call_id), slot.numbers.get(call_id)
            if end is None and number is not None:  # it was never made
                self._registry.cell(cell_id).give_back(number)
            self._registry.finish_soon(cell_id, call_id, None if end is None else {**end})
        for end in untold:
            self._end_untold(end["cell_id"], end["seq"], end)
        cells = {*slot.calls.values(), *slot.held}
        slot.calls.clear()
        slot.numbers.clear()
        slot.held.clear()
        for cell_id in cells:
            if (shared := self._shared.get(cell_id)) is not None:
                self._suspend(shared)
            self._forget_placeholders(cell_id)

    def _end_untold(self, cell_id: str, number: int, end: Fields) -> None:
        cell, call_id = self._registry.cell(cell_id), end["call_id"]
        cell.add(end)
        if end["end_reason"] != "completed" and (request_hash := end.get("request_hash")):
            first = end.get("retry_of") or call_id
            cell.attempt_failed(request_hash, call_id, first, end.get("attempt") or 1)
        self._told(cell_id, number)


class Untold(NamedTuple):
    """Numbers of a cell that no worker has told of."""

    placeholders: frozenset[int]
    numbers: Numbers | None

    def holds(self, number: int) -> bool:
        """Return whether a number is one of them."""
        return number in self.placeholders or (
            self.numbers is not None and self.numbers.is_untold(number)
        )
