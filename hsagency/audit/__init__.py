"""
The audit log: no durable intent, no call.

    writer      the audit writer: a record is on disk before the call it announces leaves
    journal     one client's journal: a segment, and then the next (segment, slots)
    register    the signed lines that say how far each segment had come (registrar, signing)
    record      what one line says, and how its names translate
    chain       the hash chain over one journal segment
    verifying   verdicts: is the log as it was written, and what is known to be lost
    pack        the evidence pack of one client, with the verifier that needs nothing (standalone)
    lake        the log as frames, one row a call
    forwarding  the log to other destinations, from a cursor on (following, cursors, destinations)
    importing   taking in the logs of other scripts

Nothing is loaded until one of them is asked for: reading needs polars, writing does not.
"""
