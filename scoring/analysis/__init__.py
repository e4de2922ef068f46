"""Many cells: observed, aggregated, compared and reconciled, every estimate with its uncertainty."""

from cab.scoring.analysis.aggregate import Aggregate as Aggregate
from cab.scoring.analysis.aggregate import OfK as OfK
from cab.scoring.analysis.aggregate import Part as Part
from cab.scoring.analysis.aggregate import aggregate as aggregate
from cab.scoring.analysis.compare import METRICS as METRICS
from cab.scoring.analysis.compare import Comparison as Comparison
from cab.scoring.analysis.compare import Metric as Metric
from cab.scoring.analysis.compare import compare as compare
from cab.scoring.analysis.compare import compare_all as compare_all
from cab.scoring.analysis.estimates import Figure as Figure
from cab.scoring.analysis.estimates import Settings as Settings
from cab.scoring.analysis.observation import Observation as Observation
from cab.scoring.analysis.observation import SelfCount as SelfCount
from cab.scoring.analysis.observe import observe as observe
from cab.scoring.analysis.observe import observe_axes as observe_axes
from cab.scoring.analysis.observe import observe_row as observe_row
from cab.scoring.analysis.reconcile import CellReconciliation as CellReconciliation
from cab.scoring.analysis.reconcile import CounterError as CounterError
from cab.scoring.analysis.reconcile import Discrepancy as Discrepancy
from cab.scoring.analysis.reconcile import Reconciliation as Reconciliation
from cab.scoring.analysis.reconcile import reconcile as reconcile
from cab.scoring.analysis.reconcile import reconcile_cell as reconcile_cell
from cab.scoring.analysis.sentences import sentence as sentence
