"""What leaves for people and other systems: merchants' statements, the ledger's journal.

Each list is summed while it is written and compared with what it has to sum to; one that does not
is refused before it has its name. Reads as `tieout_finance`, which sees no raw row.
"""

from tieout.exports.ledger import LedgerExport, export_ledger
from tieout.exports.statements import ExportedStatements, export_statements

__all__ = ["ExportedStatements", "LedgerExport", "export_ledger", "export_statements"]
