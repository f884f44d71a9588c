"""Comparing journal, topic and views, stream by stream, and putting right what can be put right from the journal.

It asks the stores and believes no counter of its own or anybody else's. Nothing else can see a topic that lost its end after
the cursors had moved, or a row that somebody deleted.
"""

from eventkernel.runtime.auditing.auditor import Auditor, AuditPace, AuditSources
from eventkernel.runtime.auditing.findings import Finding, Lack, Report

__all__ = ["AuditPace", "AuditSources", "Auditor", "Finding", "Lack", "Report"]
