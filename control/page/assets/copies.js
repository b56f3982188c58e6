// The copies as a heat map: a cell a copy, its colour the load against mark and threshold. Colour never
// stands alone: each cell has its count, a bar whose full length is the threshold, and a sign.

import { element, say } from "./dom.js";
import { count, counted } from "./words.js";

const parts = 4; // steps of colour below the mark

/** The signs in a cell. The current one has a thick edge too, and one that is not verified a broken edge. */
const signs = { current: "►", mark: "▲", over: "!" };

/** Is the step of n processes: 0 for none, 1 to 4 below the mark, "mark" from there on, "over" the threshold. */
export function stepOf(n, { mark, threshold }) {
  if (n === 0) return "0";
  if (n > threshold) return "over";
  if (n >= mark) return "mark";
  return String(1 + Math.floor((n * parts) / mark));
}

/** Is what each step stands for, as [step, numbers], without steps that no number falls into. */
export function ranges({ mark, threshold }) {
  const found = [["0", "0"]];
  for (let step = 1; step <= parts; step++) {
    const from = Math.max(1, Math.ceil(((step - 1) * mark) / parts));
    const to = Math.ceil((step * mark) / parts) - 1;
    if (from <= to) found.push([String(step), span(from, to)]);
  }
  found.push(["mark", `${span(mark, threshold)} from the mark on`], ["over", `over ${count(threshold)}`]);
  return found;
}

const span = (from, to) => (from === to ? count(from) : `${count(from)} – ${count(to)}`);

/**
 * HeatMap owns the cells, the legend, the line above and the line below them in a target's section. The
 * map is one stop of the Tab key; the arrow keys go from cell to cell.
 */
export class HeatMap {
  #grid;
  #detail;
  #legend;
  #against;
  #cells = new Map(); // by number: {item, button, flags, n, rest, text}
  #target = null;
  #chosen = 0; // the number of the copy that the line below tells of; 0 for the current one

  constructor(section) {
    this.#grid = section.querySelector(".heat");
    this.#detail = section.querySelector(".detail");
    this.#legend = section.querySelector(".legend");
    this.#against = section.querySelector(".against");
    this.#grid.addEventListener("focusin", (e) => this.#choose(e.target));
    this.#grid.addEventListener("click", (e) => this.#choose(e.target));
    this.#grid.addEventListener("mouseover", (e) => this.#choose(e.target));
    this.#grid.addEventListener("mouseleave", () => this.#tell(0));
    this.#grid.addEventListener("keydown", (e) => this.#go(e));
  }

  /** Shows a target's copies. Cells that are right already are not touched. */
  update(target) {
    const before = this.#target;
    this.#target = target;
    if (!before || before.mark !== target.mark || before.threshold !== target.threshold) this.#explain();
    this.#compare();
    this.#grid.setAttribute("aria-label", `Copies of ${target.name}`);
    const digits = String(Math.max(100, target.threshold, ...target.copies.map((c) => c.processes))).length;
    this.#grid.style.setProperty("--digits", digits);
    this.#grid.dataset.density = target.copies.length > 240 ? "dense" : target.copies.length > 60 ? "normal" : "roomy";
    const gone = new Set(this.#cells.keys());
    for (const copy of target.copies) {
      gone.delete(copy.number);
      this.#fill(this.#cells.get(copy.number) ?? this.#add(copy), copy);
    }
    for (const number of gone) {
      this.#cells.get(number).item.remove();
      this.#cells.delete(number);
    }
    if (!this.#cells.has(this.#chosen)) this.#chosen = 0;
    this.#rove();
    this.#tell(this.#chosen);
  }

  #add(copy) {
    const number = element("span", "number", String(copy.number).padStart(3, "0"));
    const flags = element("span", "flags");
    const n = element("span", "n");
    const rest = element("span", "unseen");
    flags.setAttribute("aria-hidden", "true"); // the rest says it in words
    const button = element("button", "cell", number, flags, " ", n, " ", rest);
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.number = copy.number;
    const item = element("li", "", button);
    const next = [...this.#cells.keys()].filter((k) => k > copy.number).sort((a, b) => a - b)[0];
    this.#grid.insertBefore(item, next ? this.#cells.get(next).item : null);
    const cell = { item, button, flags, n, rest, text: "" };
    this.#cells.set(copy.number, cell);
    return cell;
  }

  #fill(cell, copy) {
    const rest = this.#describe(copy);
    const text = `${copy.processes} ${rest} ${this.#target.mark}`;
    if (cell.text === text) return;
    cell.text = text;
    const step = stepOf(copy.processes, this.#target);
    const current = copy.name === this.#target.current;
    say(cell.n, String(copy.processes));
    say(cell.flags, (signs[step] ?? "") + (current ? signs.current : ""));
    cell.button.dataset.step = step;
    cell.button.classList.toggle("current", current);
    cell.button.classList.toggle("unverified", !copy.verified);
    say(cell.rest, rest);
    if (current) cell.button.setAttribute("aria-current", "true");
    else cell.button.removeAttribute("aria-current");
    const fill = this.#target.threshold > 0 ? Math.min(1, copy.processes / this.#target.threshold) : 0;
    cell.button.style.setProperty("--fill", fill.toFixed(3));
  }

  /** Is all that is known of a copy but its name and its count, in words. */
  #describe(copy) {
    const { threshold, mark, current } = this.#target;
    const said = [`of ${counted(threshold, "process", "processes")}`];
    if (copy.processes > threshold) said.push("over the threshold");
    else if (copy.processes >= mark && copy.processes > 0) said.push("at the mark");
    if (copy.name === current) said.push("current: new processes run it");
    said.push(copy.verified ? "equals its source" : "not verified", `inode ${copy.inode}`);
    return said.join(", ");
  }

  /** Writes the line above the cells: the limits, and how near the fullest copy is. */
  #compare() {
    const { copies, max_copies, mark, threshold, current } = this.#target;
    const fullest = copies.reduce((a, b) => (a && a.processes >= b.processes ? a : b), null);
    const at = copies.find((c) => c.name === current);
    const facts = [
      ["mark", count(mark), "moves on here"],
      ["threshold", count(threshold), "a full bar"],
      ["fullest", fullest ? count(fullest.processes) : "none", fullest?.name ?? ""],
      ["current", at ? count(at.processes) : "none", at?.name ?? ""],
      ["copies", count(copies.length), `of at most ${count(max_copies)}`],
    ];
    const told = JSON.stringify(facts);
    if (this.#against.dataset.told === told) return;
    this.#against.dataset.told = told;
    this.#against.replaceChildren(...facts.flatMap(([name, n, more]) =>
      [element("span", "fact", `${name} `, element("strong", "", n), more && ` ${more}`), " "]));
  }

  #explain() {
    const entry = (swatch, text) => element("li", "", swatch, text);
    const colours = ranges(this.#target).map(([step, text]) => {
      const swatch = element("span", "cell swatch", signs[step] ?? "");
      swatch.dataset.step = step;
      swatch.setAttribute("aria-hidden", "true");
      return entry(swatch, text);
    });
    const sign = (kind, text) => {
      const shown = element("span", `cell swatch ${kind}`, signs[kind] ?? "");
      shown.setAttribute("aria-hidden", "true");
      return entry(shown, text);
    };
    this.#legend.replaceChildren(...colours, sign("current", "current"), sign("unverified", "not verified"));
  }

  /** Lets the Tab key reach one cell only: the chosen one, else the current one, else the first. */
  #rove() {
    const copies = this.#target.copies;
    const stop = this.#chosen || copies.find((c) => c.name === this.#target.current)?.number || copies[0]?.number;
    for (const [number, { button }] of this.#cells) {
      const index = number === stop ? 0 : -1;
      if (button.tabIndex !== index) button.tabIndex = index;
    }
  }

  #choose(node) {
    const button = node.closest("button.cell");
    if (button) this.#tell(Number(button.dataset.number));
  }

  /** Makes the line below tell of a copy; 0 for the one in focus, else the current one. */
  #tell(number) {
    const focused = Number(this.#grid.querySelector("button:focus")?.dataset.number ?? 0);
    this.#chosen = number || focused;
    const { copies, current } = this.#target;
    const copy = copies.find((c) => (this.#chosen ? c.number === this.#chosen : c.name === current));
    this.#detail.classList.toggle("chosen", this.#chosen > 0);
    say(this.#detail, copy ? `${copy.name}: ${count(copy.processes)} ${this.#describe(copy)}.` : "");
    if (number) this.#rove();
  }

  /** Moves the focus as a key says. */
  #go(event) {
    const buttons = [...this.#grid.querySelectorAll("button.cell")];
    const at = buttons.indexOf(event.target);
    const columns = getComputedStyle(this.#grid).gridTemplateColumns.split(" ").length;
    const to = {
      ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: buttons.length - 1,
    }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    buttons[to]?.focus();
  }
}
