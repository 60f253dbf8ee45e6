"""
Another machine's evidence of the same client comes in, as a lineage of its own.

    sources     a pack, or a folder of another machine, read as if it meant us ill
    vouching    what of it a signature covers
    planning    what would come in: judged, compared with what is here, never doubled
    bringing    what of a segment is to come: all of it, what it has grown by, or nothing
    staging     how that comes to the disk: staged, judged again, recorded, moved
"""
