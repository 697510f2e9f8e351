-- Records of an object that is delivered in order: those of one lane (a user's) go one after another.

-- Only the first of a lane is dirty; the others are `queued` until it is clean or dead.
ALTER TABLE records ADD COLUMN lane INTEGER;      -- an identity; NULL: in no order
CREATE INDEX records_in_lane ON records (destination_id, lane, id)
    WHERE lane IS NOT NULL AND state IN ('dirty', 'queued');

-- Whole messages that outlived the log; see kept_messages.
CREATE TABLE kept_originals (
    offset  INTEGER PRIMARY KEY,
    message BLOB NOT NULL
);
