"""What every stage speaks: the messages of the Segment Spec. Pure: no I/O, no clock."""
