"""
What the log may say of people, and for how long.

    identifiers   keyed hashes of what a record may not name, and the key of each client
    finding       what was done with somebody's data: the answer to a data-subject request
    erasing       destroying a client's key, so that the hashes name nobody any more
    destroyed     which keys a log itself says were destroyed
    retention     removing what a client's log need not, or must not, hold any longer
"""
