"use strict";
// Everything from the study is shown through textContent: it is text, never markup.
const byId = (id) => document.getElementById(id);
const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};

// Episodes: filters, and a list that grows on demand.
const episodes = JSON.parse(byId("data").textContent);
const PAGE = 12;
let shown = PAGE;

function fill(select, values) {
  select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
}

function terms(episode) {
  const parts = Object.entries(episode.terms).map(([name, value]) => `${name} ${Number(value.toFixed(3))}`);
  return parts.length ? parts.join(", ") : "none";
}

function block(label, text) {
  const part = make("div");
  part.append(make("div", label, "label"), make("pre", text === "" ? "(empty)" : text));
  return part;
}

function card(episode) {
  const element = make("article", undefined, episode.success ? "episode solved" : "episode");
  const state = episode.success ? "solved" : episode.status === "env_error" ? "environment broke" : "not solved";
  element.append(make("h3", `layer ${episode.layer}: ${state}, outcome ${Number(episode.outcome.toFixed(3))}`));
  const facts = [episode.comparison, `seed ${episode.seed}`, `item ${episode.item}`, episode.type,
    `${episode.turns} turn${episode.turns === 1 ? "" : "s"}`, `${episode.tokens} tokens`, episode.status,
    episode.truncated ? "cut at the token limit" : ""];
  element.append(make("p", facts.filter(Boolean).join(" · "), "meta"));
  element.append(block(episode.turns > 1 ? "last observation" : "prompt", episode.prompt));
  element.append(block("answer", episode.answer));
  element.append(make("p", `Reward terms: ${terms(episode)}`, "meta"));
  for (const side of ["a", "b"]) {
    const button = make("button", `Prompt as text ${side}`);
    button.type = "button";
    button.addEventListener("click", () => {
      byId(`text-${side}`).value = episode.prompt;
      compare();
      byId("similarity").scrollIntoView();
    });
    element.append(button);
  }
  return element;
}

function list() {
  const text = byId("by-text").value.toLowerCase();
  const found = episodes.filter((episode) =>
    (!byId("by-comparison").value || episode.comparison === byId("by-comparison").value) &&
    (!byId("by-layer").value || episode.layer === byId("by-layer").value) &&
    (!byId("by-result").value || episode.success === (byId("by-result").value === "1")) &&
    `${episode.prompt}\n${episode.answer}`.toLowerCase().includes(text));
  byId("list").replaceChildren(...found.slice(0, shown).map(card));
  byId("count").textContent = `${Math.min(shown, found.length)} of ${found.length} episodes`;
  byId("more").hidden = found.length <= shown;
}

fill(byId("by-comparison"), [...new Set(episodes.map((episode) => episode.comparison))]);
fill(byId("by-layer"), [...new Set(episodes.map((episode) => episode.layer))]);
byId("filters").addEventListener("input", () => { shown = PAGE; list(); });
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", () => { shown += PAGE; list(); });

// Similarity: the same words and the same cosine as algorithms/similarity.py.
function bagOfWords(text) {
  const counts = new Map();
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

function dot(a, b) {
  let sum = 0;
  for (const [word, count] of a) sum += count * (b.get(word) ?? 0);
  return sum;
}

function compare() {
  const a = bagOfWords(byId("text-a").value), b = bagOfWords(byId("text-b").value);
  const squareA = dot(a, a), squareB = dot(b, b), product = dot(a, b);
  const cosine = squareA * squareB ? product / Math.sqrt(squareA * squareB) : Number(squareA === squareB);
  const formula = squareA * squareB ? `${product} / √(${squareA} × ${squareB})` : "by definition";
  byId("cosine").textContent = `cosine = ${formula} = ${cosine.toFixed(4)}`;
  const words = [...new Set([...a.keys(), ...b.keys()])].map((word) => [word, a.get(word) ?? 0, b.get(word) ?? 0]);
  words.sort((x, y) => y[1] * y[2] - x[1] * x[2] || y[1] + y[2] - x[1] - x[2] || (x[0] < y[0] ? -1 : 1));
  byId("words").tBodies[0].replaceChildren(...words.map(([word, inA, inB]) => {
    const row = make("tr");
    const name = make("th", word);
    name.scope = "row";
    row.append(name, ...[inA, inB, inA * inB].map((count) => make("td", count || "·")));
    return row;
  }));
}

byId("text-a").addEventListener("input", compare);
byId("text-b").addEventListener("input", compare);
list();
compare();
