-- Rows that the other side holds because of us, by object: those whose record became present, less those found gone.
CREATE TABLE held_rows (
    destination_id INTEGER NOT NULL,
    object         TEXT NOT NULL,
    rows           INTEGER NOT NULL,
    PRIMARY KEY (destination_id, object)
) WITHOUT ROWID;
-- Records of settled messages are forgotten, so rows delivered long before this upgrade are not counted.
INSERT INTO held_rows
SELECT destination_id, object, count(*) FROM records WHERE presence = 'present' GROUP BY destination_id, object;
