"""What the library exports of scoring one cell, loaded when the first of these names is used.

Whoever imports a module of the library by its own path, as the proxy does, does not wait for the rest.
"""

# axes: one dimension of the score each
from cab.scoring.axes import Axes as Axes
from cab.scoring.axes import BlastRadius as BlastRadius
from cab.scoring.axes import Calls as Calls
from cab.scoring.axes import Cost as Cost
from cab.scoring.axes import Integrity as Integrity
from cab.scoring.axes import Latency as Latency
from cab.scoring.axes import PassRate as PassRate
from cab.scoring.axes import Refusal as Refusal
from cab.scoring.axes import SourceTokens as SourceTokens
from cab.scoring.axes import Tokens as Tokens
from cab.scoring.axes.blast_radius import score_blast_radius as score_blast_radius
from cab.scoring.axes.calls import score_calls as score_calls
from cab.scoring.axes.cost import score_cost as score_cost
from cab.scoring.axes.integrity import score_integrity as score_integrity
from cab.scoring.axes.latency import score_latency as score_latency
from cab.scoring.axes.pass_rate import score_pass_rate as score_pass_rate
from cab.scoring.axes.refusal import RefusalVerdict as RefusalVerdict
from cab.scoring.axes.refusal import judge_refusal as judge_refusal
from cab.scoring.axes.refusal import score_refusal as score_refusal
from cab.scoring.axes.tokens import score_tokens as score_tokens

# whole cells, from their bundles and from published pages
from cab.scoring.cells.bundle import Bundle as Bundle
from cab.scoring.cells.bundle import read_bundle as read_bundle
from cab.scoring.cells.bundle import read_facts as read_facts
from cab.scoring.cells.bundle import rescore as rescore
from cab.scoring.cells.bundle import score_bundle as score_bundle
from cab.scoring.cells.cell import Cell as Cell
from cab.scoring.cells.cell import CellFacts as CellFacts
from cab.scoring.cells.cell import Identity as Identity
from cab.scoring.cells.cell import Scorers as Scorers
from cab.scoring.cells.cell import SelfReport as SelfReport
from cab.scoring.cells.cell import Timing as Timing
from cab.scoring.cells.cell import dump_cell as dump_cell
from cab.scoring.cells.published import PublishedCell as PublishedCell
from cab.scoring.cells.published import read_published as read_published
from cab.scoring.errors import BadCellId as BadCellId
from cab.scoring.errors import BadObservation as BadObservation
from cab.scoring.errors import BadRecord as BadRecord
from cab.scoring.errors import ScoringError as ScoringError
from cab.scoring.errors import TooFewRuns as TooFewRuns
from cab.scoring.errors import UnknownProfile as UnknownProfile

# what a run leaves behind
from cab.scoring.evidence.check_outcome import CheckOutcome as CheckOutcome
from cab.scoring.evidence.manifest import TreeDiff as TreeDiff
from cab.scoring.evidence.manifest import TreeEntry as TreeEntry
from cab.scoring.evidence.manifest import TreeManifest as TreeManifest
from cab.scoring.evidence.manifest import diff_trees as diff_trees
from cab.scoring.evidence.manifest import dump_manifest as dump_manifest
from cab.scoring.evidence.manifest import load_manifest as load_manifest
from cab.scoring.evidence.spans import Span as Span
from cab.scoring.evidence.task import TaskFacts as TaskFacts
from cab.scoring.ids import CellId as CellId
from cab.scoring.ids import parse_cell_id as parse_cell_id

# what the ledger holds, and whether it is what was written
from cab.scoring.ledger.call_sums import CallSums as CallSums
from cab.scoring.ledger.call_sums import sum_calls as sum_calls
from cab.scoring.ledger.reading import iter_calls as iter_calls
from cab.scoring.ledger.reading import iter_records as iter_records
from cab.scoring.ledger.records import CallEnd as CallEnd
from cab.scoring.ledger.records import CallStart as CallStart
from cab.scoring.ledger.records import CellOpen as CellOpen
from cab.scoring.ledger.records import OtherRecord as OtherRecord
from cab.scoring.ledger.records import parse_record as parse_record
from cab.scoring.ledger.seals import Seal as Seal
from cab.scoring.ledger.seals import load_seal as load_seal
from cab.scoring.ledger.signatures import load_public_key as load_public_key
from cab.scoring.ledger.signatures import signature_fault as signature_fault
from cab.scoring.ledger.totals import CellTotals as CellTotals
from cab.scoring.ledger.totals import total_cells as total_cells
from cab.scoring.ledger.verify import Verification as Verification
from cab.scoring.ledger.verify import verify_ledger as verify_ledger
from cab.scoring.ledger.verify import verify_seal as verify_seal
from cab.scoring.ledger.verify import verify_slice as verify_slice

# profiles: from axes to one number
from cab.scoring.profiles.builtin import DEFAULT_PROFILE as DEFAULT_PROFILE
from cab.scoring.profiles.builtin import PROFILES as PROFILES
from cab.scoring.profiles.builtin import composite as composite
from cab.scoring.profiles.builtin import find_profile as find_profile
from cab.scoring.profiles.composite import Composite as Composite
from cab.scoring.profiles.explain import explain as explain
from cab.scoring.profiles.files import read_profile as read_profile
from cab.scoring.profiles.model import Factors as Factors
from cab.scoring.profiles.model import Profile as Profile
from cab.scoring.profiles.model import Term as Term

# any form of cell in, one result per cell out
from cab.scoring.score import ScoredCell as ScoredCell
from cab.scoring.score import find_cells as find_cells
from cab.scoring.score import score_cells as score_cells
from cab.scoring.score import score_one as score_one
from cab.scoring.score import score_path as score_path
