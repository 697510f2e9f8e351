-- What sources are believed about accounts; see docs/adr/0013-trust.md.

-- Who said a fact. 0: not known any more, which counts as full trust.
ALTER TABLE account_facts ADD COLUMN source_id INTEGER NOT NULL DEFAULT 0;
UPDATE account_facts SET source_id = coalesce(
    (SELECT source_id FROM deliveries AS d
     WHERE d.identity_id = account_facts.identity_id AND d.at_ms = account_facts.at_ms
       AND d.message_id = account_facts.message_id),
    0
);

-- A message whose source is not believed about the account that it names.
ALTER TABLE deliveries ADD COLUMN untrusted INTEGER NOT NULL DEFAULT 0;

CREATE TABLE limited_sources (        -- the sources of limited trust under which messages are resolved
    source_id INTEGER PRIMARY KEY
);

CREATE TABLE reviews (                -- destinations whose earlier messages are to be resolved again since that changed
    destination_id INTEGER PRIMARY KEY,
    after_offset   INTEGER NOT NULL   -- where to go on
);
