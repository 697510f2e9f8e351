-- Settings of sources, and the consent that a destination asks for.

ALTER TABLE sources ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';     -- JSON object, what is not the default
ALTER TABLE sources ADD COLUMN secrets  TEXT NOT NULL DEFAULT '{}';     -- JSON {secret setting: encrypted}
ALTER TABLE destinations ADD COLUMN consent_categories TEXT NOT NULL DEFAULT '[]';      -- JSON array of names
