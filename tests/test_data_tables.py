"""CSV, TSV, JSONL and Parquet as people really write them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from headstart.data.load import Opened, open_dataset
from headstart.data.table import read_table
from headstart.errors import DataError, UsageError

TEXTS = [f"this is text number {i}, about {'cats' if i % 2 else 'dogs'}" for i in range(20)]
LABELS = ["cat" if i % 2 else "dog" for i in range(20)]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def rows_of(opened: Opened) -> dict[str, str]:
    """Map ids to texts over all parts."""
    splits = opened.splits
    parts = [splits.train.inputs, splits.test.inputs]
    if splits.validation is not None:
        parts.append(splits.validation.inputs)
    return {i: str(t) for part in parts for i, t in zip(part.ids, part.items, strict=True)}


def test_csv_agrees_with_the_csv_module(tmp_path: Path) -> None:
    texts = ['say "hi"', "two\nlines", "a, b", "plain", "tab\there", ""] * 4
    path = tmp_path / "odd.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(zip(texts, LABELS, strict=False))
    table = read_table(path, "utf-8")
    with path.open(newline="", encoding="utf-8") as file:
        expected = list(csv.reader(file))[1:]
    assert [list(row) for row in zip(*table.columns.values(), strict=True)] == expected
    assert len(table) == 20
    assert table.lines is not None
    assert table.lines[:3] == [2, 3, 5]  # the second text takes two lines


def test_header_with_another_separator_than_the_rows(tmp_path: Path) -> None:
    body = "".join(f"{t}\t{c}\n" for t, c in zip(TEXTS, LABELS, strict=True))
    opened = open_dataset(write(tmp_path / "mixed.tsv", "text,label\n" + body))
    assert set(rows_of(opened).values()) == set(TEXTS)
    assert any("separated by ','" in line and "tab" in line for line in opened.facts.said)


def test_stray_quotes_swallow_no_lines(tmp_path: Path) -> None:
    texts = [*TEXTS]
    texts[3] = '"he began, and never closed'
    texts[9] = 'and closed here"'
    texts[12] = 'mid "quote" there'
    body = "".join(f"{t}\t{c}\n" for t, c in zip(texts, LABELS, strict=True))
    opened = open_dataset(write(tmp_path / "raw.tsv", "text\tlabel\n" + body))
    assert rows_of(opened) == {f"row {i + 1}": t for i, t in enumerate(texts)}
    assert any("quotation marks" in line for line in opened.facts.said)


def test_a_quote_pair_over_two_lines_does_not_merge_consistent_rows(tmp_path: Path) -> None:
    # Strict CSV reads the two middle lines as one row; each line alone is a row as well.
    text = 'label\ttext\ncat\t"one\ndog\ttwo"\n' + "cat\tx\ndog\ty\n" * 3
    table = read_table(write(tmp_path / "pair.tsv", text), "utf-8")
    assert len(table) == 8
    assert table.columns["text"][:2] == ['"one', 'two"']


def test_ragged_row_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "ragged.csv", "text,label\na b,x\nc d,y\ne, f,x\ng,y\n")
    with pytest.raises(DataError, match=r"line 4 has 3 fields, expected 2"):
        read_table(path, "utf-8")


def test_wrong_encoding_names_file_byte_line_and_option(tmp_path: Path) -> None:
    path = write(tmp_path / "latin.csv", "text,label\nplain,a\ncafé,b\n", "latin-1")
    with pytest.raises(DataError, match=r"latin.csv is not utf-8: byte 0xe9 .*line 3.*--encoding"):
        read_table(path, "utf-8")
    assert read_table(path, "latin-1").columns["text"] == ["plain", "café"]
    with pytest.raises(DataError, match="Unknown encoding"):
        read_table(path, "klingon")


def test_byte_order_mark_and_windows_newlines(tmp_path: Path) -> None:
    path = write(tmp_path / "excel.csv", "\ufefftext;label\r\na;x\r\nb;y\r\n")
    assert read_table(path, "utf-8").columns == {"text": ["a", "b"], "label": ["x", "y"]}


def test_no_header_is_an_error_until_columns_are_numbered(tmp_path: Path) -> None:
    body = "".join(f"{c}\t{t}\n" for t, c in zip(TEXTS, LABELS, strict=True))
    path = write(tmp_path / "sms.tsv", body)
    with pytest.raises(DataError, match=r"no header line.*--input 1 --target 0"):
        open_dataset(path)
    with pytest.raises(UsageError, match="no header line"):
        open_dataset(path, input="text", target="label")
    opened = open_dataset(path, input="1", target="0")
    assert set(rows_of(opened).values()) == set(TEXTS)
    assert opened.splits.train.task.labels == ("cat", "dog")


def test_numbers_may_name_columns_under_a_header(tmp_path: Path) -> None:
    body = "".join(f'"{t}",{c}\n' for t, c in zip(TEXTS, LABELS, strict=True))
    opened = open_dataset(write(tmp_path / "h.csv", "text,label\n" + body), input="0", target="1")
    assert len(rows_of(opened)) == 20


def test_jsonl_and_parquet_hold_the_same(tmp_path: Path) -> None:
    import pandas as pd

    records = [{"text": t, "label": c} for t, c in zip(TEXTS, LABELS, strict=True)]
    lines = write(tmp_path / "a.jsonl", "\n".join(json.dumps(r) for r in records) + "\n\n")
    pd.DataFrame(records).to_parquet(tmp_path / "a.parquet")
    one, two = open_dataset(lines), open_dataset(tmp_path / "a.parquet")
    assert one.facts.fingerprint == two.facts.fingerprint
    write(lines, '{"text": "a"}\nnot json\n')
    with pytest.raises(DataError, match="line 2 is no JSON"):
        open_dataset(lines)
    write(tmp_path / "a.parquet", "rubbish")
    with pytest.raises(DataError, match="Parquet"):
        open_dataset(tmp_path / "a.parquet")


def test_split_column(tmp_path: Path) -> None:
    splits = ["train"] * 12 + ["Validation"] * 4 + ["test"] * 4
    body = "".join(f'"{t}",{c},{s}\n' for t, c, s in zip(TEXTS, LABELS, splits, strict=True))
    opened = open_dataset(write(tmp_path / "s.csv", "text,label,split\n" + body))
    assert opened.facts.counts == {"train": 12, "validation": 4, "test": 4}
    assert opened.splits.test.inputs.ids == [f"row {i}" for i in range(17, 21)]
    write(tmp_path / "s.csv", "text,label,split\n" + body.replace(",train", ",", 1))
    with pytest.raises(DataError, match=r"line 2 has no split"):
        open_dataset(tmp_path / "s.csv")


def test_roles_by_content_and_when_it_is_open(tmp_path: Path) -> None:
    words = "".join(f"{i},{t.replace(',', '')},{c}\n" for i, (t, c) in
                    enumerate(zip(TEXTS, LABELS, strict=True)))  # fmt: skip
    opened = open_dataset(write(tmp_path / "c.csv", "nr,was,art\n" + words))
    assert opened.splits.train.task.labels == ("cat", "dog")
    assert any("'was'" in line and "longest" in line for line in opened.facts.said)
    assert any("'art'" in line for line in opened.facts.said)
    same = "".join(f"some words {i},other words {i},{i % 2}\n" for i in range(20))
    with pytest.raises(DataError, match=r"'question', 'text'.*--input"):
        open_dataset(write(tmp_path / "o.csv", "question,text,label\n" + same))
    two = "".join(f"some words {i},{i % 2},{i % 3}\n" for i in range(20))
    with pytest.raises(DataError, match=r"--target"):
        open_dataset(write(tmp_path / "t.csv", "text,mood,tone\n" + two))
    with pytest.raises(UsageError, match="no column 'nope' for --target; it has: 'text'"):
        open_dataset(tmp_path / "t.csv", target="nope")


def test_label_columns_that_say_the_same(tmp_path: Path) -> None:
    body = "".join(f"words {i},{i % 2},{'ab'[i % 2]}\n" for i in range(20))
    opened = open_dataset(write(tmp_path / "b.csv", "text,class_id,category\n" + body))
    assert opened.splits.train.task.labels == ("a", "b")


def test_empty_text_goes_to_quarantine_and_missing_labels_are_counted(tmp_path: Path) -> None:
    body = "".join(f"words {i},{'ab'[i % 2]}\n" for i in range(20))
    opened = open_dataset(write(tmp_path / "e.csv", "text,label\n" + body + " ,a\nlost,\nnan,NaN"))
    assert [(q.id, q.reason) for q in opened.quarantine] == [("row 21", "empty text")]
    assert opened.facts.unlabelled == 2
    assert opened.facts.quarantined == 1
    assert sum(opened.facts.counts.values()) == 20
    assert any("2 examples of 22 have no target" in line for line in opened.facts.said)


def test_nothing_in_it(tmp_path: Path) -> None:
    for text, words in (("", "is empty"), ("text,label\n", "no rows")):
        with pytest.raises(DataError, match=words):
            open_dataset(write(tmp_path / "n.csv", text))
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="is no data set"):
        open_dataset(write(tmp_path / "n.doc", "text"))


def test_infinite_targets_name_their_rows(tmp_path: Path) -> None:
    body = "".join(f"words {i},{i + 0.5}\n" for i in range(20)) + "bad,inf\nworse,-inf\n"
    with pytest.raises(DataError, match="2 targets are infinite: row 21, row 22"):
        open_dataset(write(tmp_path / "i.csv", "text,price\n" + body))


def test_text_digests_are_blake2b_of_the_text(tmp_path: Path) -> None:
    import hashlib

    body = "".join(f"wörter {i},{i % 2}\n" for i in range(10))
    opened = open_dataset(write(tmp_path / "d.csv", "text,label\n" + body))
    inputs = opened.splits.train.inputs
    expected = [hashlib.blake2b(str(t).encode(), digest_size=16).digest() for t in inputs.items]
    assert np.array_equal(inputs.digests, [list(digest) for digest in expected])


def test_the_header_settles_a_tie_of_separators(tmp_path: Path) -> None:
    body = "".join(f"nice, really {i};{i % 5}\n" for i in range(30))
    table = read_table(write(tmp_path / "semi.csv", "Review;Stars\n" + body), "utf-8")
    assert table.columns["Review"][1] == "nice, really 1"
    body = "".join(f'{i}, "some, words {i}", {"xy"[i % 2]}\n' for i in range(30))
    table = read_table(write(tmp_path / "spaced.csv", "id, text, label\n" + body), "utf-8")
    assert table.columns["text"][1] == "some, words 1"


def test_file_names_without_endings_are_no_texts(tmp_path: Path) -> None:
    body = "".join(f"img{i},{i % 2}\n" for i in range(30))
    with pytest.raises(DataError, match=r"paths that end like image .*--input"):
        open_dataset(write(tmp_path / "ids.csv", "image,label\n" + body))
