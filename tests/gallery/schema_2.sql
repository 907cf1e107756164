BEGIN TRANSACTION;
CREATE TABLE denials (
        id INTEGER PRIMARY KEY,
        person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
        content_hash TEXT NOT NULL CHECK (length(content_hash) = 64),
        quarter_turns INTEGER NOT NULL CHECK (quarter_turns BETWEEN 0 AND 3),
        box BLOB NOT NULL CHECK (length(box) = 16),
        denied_at TEXT NOT NULL
    );
INSERT INTO "denials" VALUES(1,2,'abababababababababababababababababababababababababababababababab',0,X'000020410000A0410000B4420000DC42','2026-11-28T15:35:46.329590+00:00');
CREATE TABLE gallery (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        pack_id INTEGER NOT NULL REFERENCES packs (id),
        revision INTEGER NOT NULL CHECK (revision >= 0),
        traces INTEGER NOT NULL CHECK (traces >= 0)
    );
INSERT INTO "gallery" VALUES(1,1,2,0);
CREATE TABLE migrations (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        applied_at TEXT NOT NULL
    );
INSERT INTO "migrations" VALUES(1,'first_tables','2026-11-22T18:28:58.677563+00:00');
INSERT INTO "migrations" VALUES(2,'feedback','2026-11-28T15:35:46.278664+00:00');
CREATE TABLE packs (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        dimension INTEGER NOT NULL CHECK (dimension BETWEEN 1 AND 16384)
    );
INSERT INTO "packs" VALUES(1,'opencv','abababababababababababababababababababababababababababababababab',4);
CREATE TABLE people (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL
    );
INSERT INTO "people" VALUES(1,'Ada','ada','2026-11-22T18:28:58.747077+00:00');
INSERT INTO "people" VALUES(2,'Bob','bob','2026-11-22T18:28:58.755152+00:00');
CREATE TABLE samples (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
        box BLOB NOT NULL CHECK (length(box) = 16),
        landmarks BLOB NOT NULL CHECK (length(landmarks) = 40),
        detection_score REAL NOT NULL,
        quality REAL NOT NULL,
        source BLOB NOT NULL,
        content_hash TEXT NOT NULL CHECK (length(content_hash) = 64),
        quarter_turns INTEGER NOT NULL CHECK (quarter_turns BETWEEN 0 AND 3),
        taken_at TEXT,
        enrolled_at TEXT NOT NULL
    );
INSERT INTO "samples" VALUES(1,1,X'000020410000A0410000B4420000DC42',X'000000000000803F0000004000004040000080400000A0400000C0400000E0400000004100001041',0.9,0.8,X'2F70686F746F732F312E6A7067','4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a',0,'2021-05-06T07:08:09','2026-11-22T18:28:58.747077+00:00');
INSERT INTO "samples" VALUES(2,1,X'0000A0410000A0410000C8420000DC42',X'000000000000803F0000004000004040000080400000A0400000C0400000E0400000004100001041',0.9,0.8,X'2F70686F746F732F322E6A7067','dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986',0,'2021-05-06T07:08:09','2026-11-22T18:28:58.747077+00:00');
INSERT INTO "samples" VALUES(3,2,X'0000F0410000A0410000DC420000DC42',X'000000000000803F0000004000004040000080400000A0400000C0400000E0400000004100001041',0.9,0.8,X'2F70686F746F732F332E6A7067','084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5',0,'2021-05-06T07:08:09','2026-11-22T18:28:58.755152+00:00');
CREATE TABLE settings (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL CHECK (length(value) <= 65536)
    );
INSERT INTO "settings" VALUES('fpir','0.02');
CREATE TABLE strangers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source BLOB NOT NULL,
        content_hash TEXT NOT NULL CHECK (length(content_hash) = 64),
        quarter_turns INTEGER NOT NULL CHECK (quarter_turns BETWEEN 0 AND 3),
        box BLOB NOT NULL CHECK (length(box) = 16),
        vector BLOB NOT NULL CHECK (length(vector) <= 65536),
        remembered_at TEXT NOT NULL
    );
CREATE TABLE thumbnails (
        sample_id INTEGER PRIMARY KEY REFERENCES samples (id) ON DELETE CASCADE,
        jpeg BLOB NOT NULL CHECK (length(jpeg) <= 262144)
    );
INSERT INTO "thumbnails" VALUES(1,X'FFD8FF70696374757265');
CREATE TABLE vectors (
        sample_id INTEGER NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
        pack_id INTEGER NOT NULL REFERENCES packs (id),
        variant TEXT NOT NULL,
        first REAL NOT NULL,
        second REAL NOT NULL,
        revision INTEGER NOT NULL,
        vector BLOB NOT NULL CHECK (length(vector) <= 65536),
        PRIMARY KEY (sample_id, pack_id, variant)
    );
INSERT INTO "vectors" VALUES(1,1,'plain',2.14244261384010314941e-01,5.09360611438751220703e-01,1,X'D9625B3E7565023F34C5513EDFD14EBF');
INSERT INTO "vectors" VALUES(2,1,'plain',7.05902516841888427734e-01,3.48036557435989379882e-01,1,X'07B6343FD931B23EA75AD6BE25FCE73E');
INSERT INTO "vectors" VALUES(3,1,'plain',5.05994498729705810546e-01,4.08230096101760864257e-01,2,X'DB88013F8903D13EC893213D0A40423F');
CREATE INDEX samples_by_person ON samples (person_id);
CREATE INDEX samples_by_content ON samples (content_hash);
CREATE INDEX vectors_by_components ON vectors (pack_id, variant, first, second);
CREATE INDEX denials_by_person ON denials (person_id);
CREATE INDEX denials_by_content ON denials (content_hash);
CREATE INDEX strangers_by_content ON strangers (content_hash);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('people',2);
INSERT INTO "sqlite_sequence" VALUES('samples',3);
COMMIT;
