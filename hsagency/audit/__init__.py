"""
The audit log: no durable intent, no call.

    log         what an analyst, a reviewer and a command ask of it: `Agency.audit`
    record      what one line says, and how its names translate;  chain: how lines are chained
    journal     one client's journal as it is written: a segment, and then the next
    register    the signed lines that say how far each segment had come
    evidence    closed segments, compressed, byte for byte
    lake        the log as frames, one row a call; closed segments become Parquet
    verifying   verdicts: is the log as it was written, and what is known to be lost
    pack        the evidence pack of one client;  standalone: the verifier in it
    forwarding  the log to other destinations, from a cursor on
    importing   taking in the logs of other scripts
    merging     taking in another machine's log of the same client
    privacy     hashed identifiers, finding and erasing them, retention
    repairing   mending what a crash left, naming what cannot be mended

Nothing is loaded until one of them is asked for: reading needs polars, writing does not.
"""
