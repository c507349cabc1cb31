"""GSM8K, MATH, NuminaMath and DeepScaleR from local files of their schema, and what can be wrong with a file."""

from __future__ import annotations

import json

import pyarrow
import pyarrow.parquet
import pytest

import envs
from envs.math.boxed import last_boxed
from envs.math.data import SCHEMAS

ROWS = {
    "gsm8k": lambda i: {"question": f"Tom has {i} and buys 1000. How many?", "answer": f"Think.\n#### 1,{i:03d}"},
    "math": lambda i: {"problem": f"Compute ${i}+1$.", "solution": rf"It is $\boxed{{{i + 1}}}$.", "level": "Level 1"},
    "numina": lambda i: {"source": "olympiads", "problem": f"Find {i}/2.", "solution": rf"\boxed{{\frac{{{i}}}{{2}}}}"},
    "deepscaler": lambda i: {"problem": f"Square {i}.", "answer": f"{i * i}", "solution": ""},
}
GOLD = {"gsm8k": r"So 1003: \boxed{1003}", "math": r"\boxed{4}", "numina": r"\boxed{1.5}", "deepscaler": "It is $9$."}


def write(file, rows):
    if file.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def make(dataset, path):
    return envs.make("onelayer/math-v0", dataset=dataset, path=str(path))


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("dataset", SCHEMAS)
def test_one_file_is_split_by_content(tmp_path, dataset, suffix):
    rows = [ROWS[dataset](i) for i in range(30)]
    env = make(dataset, write(tmp_path / f"data{suffix}", rows))
    again = make(dataset, write(tmp_path / f"shuffled{suffix}", rows[::-1]))
    assert (env.size("train"), env.size("test")) == (27, 3)
    assert env.source("test").startswith(f"file:data{suffix} (sha256 ")

    def held_out(env):
        return {env.reset(options={"split": "test", "index": i})[1]["item_id"] for i in range(3)}

    assert held_out(env) == held_out(again)
    envs.check_task(lambda: make(dataset, tmp_path / f"data{suffix}"), items=1)


@pytest.mark.parametrize("dataset", SCHEMAS)
def test_gold_and_wrong_answers(tmp_path, dataset):
    write(tmp_path / "train.jsonl", [ROWS[dataset](i) for i in range(5)])
    write(tmp_path / "test.parquet", [ROWS[dataset](3), ROWS[dataset](9)])
    env = make(dataset, tmp_path)
    assert (env.size("train"), env.size("test")) == (4, 2)  # question 3 is left to the test split
    assert env.source("train").startswith("file:train.jsonl (sha256 ")
    assert env.source("test").startswith("file:test.parquet (sha256 ")
    for text, right in ((GOLD[dataset], True), (r"\boxed{17}", False), ("Pass.", False)):
        env.reset(options={"split": "test", "index": 0})
        assert env.step(text)[4]["success"] is right


def test_shards(tmp_path):
    for part in range(2):
        rows = [ROWS["gsm8k"](10 * part + i) for i in range(10)]
        write(tmp_path / f"train-0000{part}-of-00002.parquet", rows)
    write(tmp_path / "test-00000-of-00001.parquet", [ROWS["gsm8k"](99)])
    env = make("gsm8k", tmp_path)
    assert (env.size("train"), env.size("test")) == (20, 1)


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path, caplog):
    rows = [*(ROWS["numina"](i) for i in range(9)), {"problem": "Prove it.", "solution": "Clear."}]
    env = make("numina", write(tmp_path / "proofs.jsonl", rows))
    assert env.size("train") + env.size("test") == 9
    assert "1 of 10 rows" in caplog.text


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("dataset", SCHEMAS)
def test_a_missing_field_is_named(tmp_path, dataset, suffix):
    file = write(tmp_path / f"bad{suffix}", [{"prompt": "What?", "target": "4"}])
    message = rf"bad{suffix}, row 1: no field '(question|problem)'; fields found: 'prompt', 'target'"
    with pytest.raises(ValueError, match=message):
        make(dataset, file).size("train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", r"empty.jsonl .*: no row with a question and an answer"),
        (
            "torn.jsonl",
            b'{"question": "Q", "answer": "#### 1"}\n{"question": "Q2", "ans',
            "torn.jsonl, row 2 is not JSON",
        ),
        ("list.jsonl", b"[1, 2]\n", "row 1 is a JSON list"),
        ("latin.jsonl", b'{"question": "\xff"}\n', "not UTF-8"),
        ("no_hashes.jsonl", b'{"question": "Q", "answer": "4"}\n', "row 1: no answer can be read"),
        ("blank.jsonl", b'{"question": " ", "answer": "#### 4"}\n', "row 1: the question is empty"),
        ("one.jsonl", b'{"question": "Q", "answer": "#### 4"}\n', "cannot be split"),
        ("torn.parquet", b"PAR1 and no more", "torn.parquet is not parquet"),
        ("data.csv", b"question,answer\n", "valid: .jsonl, .parquet"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        make("gsm8k", tmp_path / name).reset(seed=0)


def test_a_missing_file_or_split(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a file nor a folder"):
        make("gsm8k", tmp_path / "nowhere.jsonl").reset(seed=0)
    with pytest.raises(FileNotFoundError, match=r"looked for train\.jsonl and train\.parquet"):
        make("gsm8k", tmp_path).reset(seed=0)


def test_both_formats_of_a_split(tmp_path):
    for suffix in (".jsonl", ".parquet"):
        write(tmp_path / f"train{suffix}", [ROWS["gsm8k"](1)])
    with pytest.raises(ValueError, match="keep one"):
        make("gsm8k", tmp_path).reset(seed=0)


def test_number_scoring_does_not_fit_latex_answers(tmp_path):
    file = write(tmp_path / "data.jsonl", [ROWS["numina"](i) for i in range(5)])
    env = envs.make("onelayer/math-v0", dataset="numina", path=str(file), scoring="number")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="scoring='number' does not fit"):
        env.step("4")


def test_the_hub_is_asked_for_the_right_tables(monkeypatch):
    asked = []

    def load_dataset(repository, config, split):
        asked.append((repository, config, split))
        return [ROWS["gsm8k"](i + 10 * (split == "test")) for i in range(4)]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    env = envs.make("onelayer/math-v0", dataset="gsm8k")
    assert (env.size("train"), env.size("test"), env.source("test")) == (4, 4, "hub:openai/gsm8k")
    assert sorted(asked) == [("openai/gsm8k", "main", "test"), ("openai/gsm8k", "main", "train")]


def test_without_the_hub_the_error_says_what_to_give(monkeypatch):
    def load_dataset(*args, **kwargs):
        raise ConnectionError("offline")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(FileNotFoundError, match=r"HuggingFaceH4/MATH-500|nlile/hendrycks.*path="):
        envs.make("onelayer/math-v0", dataset="math").reset(seed=0)


@pytest.mark.parametrize(
    ("text", "found"),
    [(r"\boxed{1} \boxed{\frac{1}{2}}", r"\frac{1}{2}"), ("none", None), (r"\boxed{open", None), (r"\boxed{}", None)],
)
def test_last_boxed(text, found):
    assert last_boxed(text) == found
