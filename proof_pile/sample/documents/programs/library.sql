-- A lending library: members, books, copies and loans.

CREATE TABLE member (
    member_id   INTEGER PRIMARY KEY,
    full_name   TEXT NOT NULL,
    joined_on   DATE NOT NULL
);

CREATE TABLE book (
    book_id     INTEGER PRIMARY KEY,
    title       TEXT NOT NULL,
    author      TEXT NOT NULL,
    written_in  INTEGER CHECK (written_in BETWEEN 1 AND 9999)
);

CREATE TABLE copy (
    copy_id     INTEGER PRIMARY KEY,
    book_id     INTEGER NOT NULL REFERENCES book (book_id),
    shelf       TEXT NOT NULL
);

CREATE TABLE loan (
    loan_id     INTEGER PRIMARY KEY,
    copy_id     INTEGER NOT NULL REFERENCES copy (copy_id),
    member_id   INTEGER NOT NULL REFERENCES member (member_id),
    lent_on     DATE NOT NULL,
    due_on      DATE NOT NULL,
    returned_on DATE,
    CHECK (due_on > lent_on)
);

-- A copy can be lent only once at a time.
CREATE UNIQUE INDEX one_open_loan ON loan (copy_id) WHERE returned_on IS NULL;

-- Who is late, and by how much?
SELECT m.full_name, b.title, julianday('now') - julianday(l.due_on) AS days_late
FROM loan AS l
JOIN member AS m USING (member_id)
JOIN copy AS c USING (copy_id)
JOIN book AS b USING (book_id)
WHERE l.returned_on IS NULL AND l.due_on < date('now')
ORDER BY days_late DESC;

-- The ten books that were lent most often, with the share of their copies that are out.
SELECT b.title,
       COUNT(l.loan_id) AS num_loans,
       1.0 * SUM(l.loan_id IS NOT NULL AND l.returned_on IS NULL) / COUNT(DISTINCT c.copy_id) AS share_out
FROM book AS b
JOIN copy AS c USING (book_id)
LEFT JOIN loan AS l USING (copy_id)
GROUP BY b.book_id
ORDER BY num_loans DESC, b.title
LIMIT 10;
