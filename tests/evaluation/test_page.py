"""The page: whole, on its own, and safe with whatever a model wrote; then as a browser sees it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import open_page
from synthetic_study import WriteCell, make_result, panel_rows, write_rows
from synthetic_training import write_training

from algorithms.similarity import cosine
from evaluation.cells import read_study
from evaluation.report import __main__ as report
from evaluation.report.episodes import LONGEST, MOST, chosen_episodes, evenly, shortened
from evaluation.report.figures.gallery import draw_all
from evaluation.report.view import view_study
from evaluation.results import EPISODES_FILE, write_result

ATTACK = "<script>document.title = 'taken over'</script></script><img src=x onerror=alert(1)>"
PNG = {"heatmap", "depth", "contribution", "intervals", "agreement", "learning", "audit", "cost"}


def scores(share: float, seed: int) -> np.ndarray:
    """``scores_IK`` of 30 items x 2 samples."""
    return (np.random.default_rng(seed).random((30, 2)) < share).astype(float)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, one of them with types; two seeds; blocks 0, 7, 15, 22 and 29; one cell still running. Reported on."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    before = scores(0.1, 0)
    for task, shift in (("math", 0.0), ("alfworld/small", 0.1)):
        arms = {"base": 0.1, "full": 0.7, "0": 0.2, "7": 0.4, "15": 0.6 - shift, "22": 0.5, "29": 0.12, "mid:5": 0.65}
        for number, (layer, share) in enumerate(arms.items()):
            for seed in (0, 1) if layer != "base" else (0,):
                after = before if layer == "base" else scores(share, 10 * number + seed)
                cell = folder / task.replace("/", "-") / "smollm2_135m" / "grpo" / f"layer={layer}" / f"seed={seed}"
                cell.mkdir(parents=True)
                kinds = ("", "") if task == "math" else ("heat", "cool")
                rows = [*panel_rows(before, "before"), *panel_rows(after, "after")]
                rows = [replace(row, prompt=ATTACK, task_type=kinds[row.item % 2]) for row in rows]
                write_rows(cell / EPISODES_FILE, rows)
                change = [0.02 if layer in ("full", str(block)) else 0.0 for block in range(30)]
                audit = {"ok": True, "relative_change": change, "other": 0.0}
                write_result(cell, make_result(before, after, layer=layer, seed=seed, task=task, audit=audit))
                if layer != "base":
                    write_training(cell)
    write_training(folder / "math" / "smollm2_135m" / "grpo" / "layer=8" / "seed=0")
    assert report.main([str(folder)]) == 0
    return folder


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_all_files_are_there(study: Path) -> None:
    assert {path.stem for path in study.glob("*.png")} == PNG
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in study.glob("*.png"))
    names = {"scores", "contributions", "profiles", "agreement", "costs", "learning", "types"}
    assert {path.stem for path in (study / "csv").glob("*.csv")} == names
    assert str(study) not in (study / "report.html").read_text()


def test_the_csv_files_hold_what_the_study_holds(study: Path) -> None:
    def rows(name: str) -> list[dict[str, str]]:
        with (study / "csv" / f"{name}.csv").open() as file:
            return list(csv.DictReader(file))

    assert len(rows("scores")) == 2 * (1 + 7 * 2)
    assert [row["layer"] for row in rows("contributions")] == ["0", "7", "15", "22", "29", "mid:5"] * 2
    chances = [float(row["p_best"]) for row in rows("profiles") if row["task"] == "math"]
    assert len(chances) == 5 and sum(chances) == pytest.approx(1, abs=1e-4)
    assert {row["differ_in"] for row in rows("agreement")} == {"task", "seed"}
    assert len(rows("learning")) == 4 * (2 * 7 * 2 + 1)
    assert {row["type"] for row in rows("types")} == {"heat", "cool"}


def test_the_page_asks_nothing_of_the_network(study: Path) -> None:
    tags = Tags((study / "report.html").read_text()).found
    asked = [value for _, attributes in tags for name, value in attributes.items()
             if name in ("src", "href", "srcset", "action", "poster", "data")]  # fmt: skip
    assert asked and all(value and value.startswith(("#", "data:")) for value in asked)
    assert "url(" not in (study / "report.html").read_text() and "@import" not in (study / "report.html").read_text()


def test_what_a_model_wrote_is_text_and_never_markup(study: Path) -> None:
    page = (study / "report.html").read_text()
    scripts = [attributes.get("type") for tag, attributes in Tags(page).found if tag == "script"]
    assert scripts == ["application/json", None]
    assert "onerror" not in {name for _, attributes in Tags(page).found for name in attributes}
    data = page.split('id="data">')[1].split("</script>")[0]
    assert {episode["prompt"] for episode in json.loads(data)} == {ATTACK}


def test_the_page_says_what_it_rests_on(study: Path) -> None:
    for name in ("report.html", "report.md"):
        page = (study / name).read_text()
        for words in ("30 items x 2 samples", "split test", "2 training seeds", "Degenerate groups: 50%",
                      "This study is not complete", "4 of 30 steps are logged", "the best of 5", "heat, 15 items",
                      "No cosine between updates: no trained weights", "FLOPs are not known"):  # fmt: skip
            assert words in page, f"{name}: {words}"


def test_markdown_names_the_figures_and_the_tables(study: Path) -> None:
    page = (study / "report.md").read_text()
    assert all(f"({name}.png)" in page for name in PNG)
    assert "| 15 | 15 | 0.52 | 0,1 | 0." in page and "\n\n\n" not in page
    assert str(study) not in page.replace(f"runs_dir={study.parent}", "")


def test_figures_that_do_not_apply_are_not_drawn_and_old_ones_go(write_cell: WriteCell) -> None:
    """Full training gains nothing, and one block was trained: no contribution, no profile."""
    scores_IK = scores(0.2, 1)
    for layer in ("base", "full", "15"):
        folder = write_cell(scores_IK, scores_IK, layer=layer).parents[4]
    (folder / "contribution.png").write_bytes(b"of an earlier report")
    drawn = {figure.name for figure in draw_all(view_study(read_study(folder)))}
    assert drawn == {"intervals", "audit", "cost"}
    assert {path.stem for path in folder.glob("*.png")} == drawn


def test_one_finished_cell_is_enough_for_a_page(write_cell: WriteCell) -> None:
    folder = write_cell(scores(0.2, 1), scores(0.2, 1), layer="base").parents[4]
    assert report.main([str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert "Only the untrained model has been scored so far." in page and "&#39;layer=full&#39;" in page


def test_a_folder_that_cannot_be_written_is_an_error_in_words(
    write_cell: WriteCell, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_cell(scores(0.2, 1), scores(0.2, 1), layer="base").parents[4]
    (folder / "report.html").mkdir()
    assert report.main([str(folder)]) == 2
    assert "error: the report cannot be written" in capsys.readouterr().err


def test_episodes_are_few_and_the_same_for_all_arms(study: Path) -> None:
    view = view_study(read_study(study))
    episodes, how = chosen_episodes(view.comparisons, most=40)
    assert len(episodes) == 2 * 8 * 2 <= 40 and how.startswith("32 of 1800 episodes")
    assert {(episode["layer"], episode["item"]) for episode in episodes} == {
        (arm.layer, item) for arm in view.comparisons[0].arms for item in (100, 115)
    }
    assert len(chosen_episodes(view.comparisons, most=5)[0]) == 5 and MOST <= 300


def test_spreading_and_shortening_by_hand() -> None:
    assert evenly(10, 3) == [0, 3, 6] and evenly(2, 5) == [0, 1] and evenly(30, 30) == list(range(30))
    assert shortened("short") == "short"
    assert "[... 500 characters left out ...]" in shortened("x" * (LONGEST + 500))


# --- in a browser ---


def test_the_console_shows_no_error(study: Path, tmp_path: Path) -> None:
    document, console = open_page(study / "report.html", tmp_path / "profile")
    assert console == []
    assert "taken over" not in document.split("</title>")[0]
    assert document.count('<article class="episode') == 12 and "cosine = 5 / √(6 × 6) = 0.8333" in document


def test_an_error_would_be_seen_and_foreign_script_does_not_run(study: Path, tmp_path: Path) -> None:
    page = (
        (study / "report.html").read_text().replace("</body>", "<script>document.title = 'taken over'</script></body>")
    )
    (tmp_path / "page.html").write_text(page)
    document, console = open_page(tmp_path / "page.html", tmp_path / "profile")
    assert any("Content Security Policy" in line for line in console)
    assert "taken over" not in document.split("</title>")[0]


PAIRS = [
    ("put a mug in cabinet 1", "Put a mug in cabinet 2"),
    ("a a b", "a a b a a b"),
    ("naïve Größe_1 数学", "größe_1 naïve"),
    ("", ""),
    ("", "word"),
    (ATTACK, "script"),
]


def test_the_page_computes_the_cosine_of_gigpo_and_filters(study: Path, tmp_path: Path) -> None:
    pairs = json.dumps(PAIRS).replace("</", "<\\/")  # a closing tag would end the script
    probe = f"""<script>
      const shownFor = (id, value) => {{
        byId(id).value = value;
        byId("filters").dispatchEvent(new Event("input"));
        return byId("count").textContent;
      }};
      const found = {{
        cosines: {pairs}.map(([a, b]) => {{
          byId("text-a").value = a;
          byId("text-b").value = b;
          compare();
          return Number(byId("cosine").textContent.split("= ").pop());
        }}),
        base: shownFor("by-layer", "base"),
        none: shownFor("by-text", "no text has this"),
      }};
      const probe = document.createElement("pre");
      document.body.append(Object.assign(probe, {{id: "probe", textContent: JSON.stringify(found)}}));
    </script></body>"""
    page = (study / "report.html").read_text()
    policy = page[page.index('<meta http-equiv="Content-Security-Policy"') :].split("\n")[0]
    (tmp_path / "page.html").write_text(page.replace(policy, "").replace("</body>", probe))
    document, console = open_page(tmp_path / "page.html", tmp_path / "profile")
    assert console == []
    found = json.loads(document.split('<pre id="probe">')[1].split("</pre>")[0])
    assert found["cosines"] == pytest.approx([cosine(a, b) for a, b in PAIRS], abs=1e-4)
    assert found["base"].startswith("12 of 30 episodes") and found["none"] == "0 of 0 episodes"
