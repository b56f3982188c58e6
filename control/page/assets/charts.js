// What the page has seen of a target since it was opened, and small charts of it.

import { drawing, element, say } from "./dom.js";
import { clock, count, counted, duration } from "./words.js";

const kept = 240; // slots; when they are full, each two become one of twice the time
const least = 60; // slots that a chart is wide at the beginning
const height = 100; // of a drawing, in units of its own

/**
 * History keeps a value for each slot of time since the page was opened: the most processes, and how often
 * the link was moved. Its memory does not grow: it becomes coarser instead. A slot in which nothing was
 * known has null processes.
 */
export class History {
  slots = []; // {processes, rotations}
  width = 1; // seconds a slot
  #begin = Date.now();
  #processes = null; // when last seen, and null when nobody knows what was since
  #rotations = null; // the daemon's counter, likewise

  /** When the page was opened. */
  get begin() {
    return new Date(this.#begin);
  }

  /** The processes of now, or of when they were last known. */
  get processes() {
    return this.#processes ?? this.slots.findLast((s) => s.processes !== null).processes;
  }

  /** Notes what a status tells now. Both numbers are of one target. */
  add(processes, rotations) {
    const slot = this.#slot();
    slot.processes = Math.max(slot.processes ?? 0, processes);
    this.#processes = processes;
    const before = this.#rotations;
    if (before !== null) slot.rotations += rotations >= before ? rotations - before : rotations;
    this.#rotations = rotations;
  }

  /** Says that what comes next must not be counted from what was: the link was down meanwhile. */
  interrupt() {
    this.#processes = null;
    this.#rotations = null;
  }

  /** Is the slot of now. A browser lets a hidden page count seconds late: what was, went on meanwhile. */
  #slot() {
    let at = Math.floor((Date.now() - this.#begin) / 1000 / this.width);
    while (at >= kept) {
      this.#halve();
      at = Math.floor(at / 2);
    }
    while (this.slots.length <= at) this.slots.push({ processes: this.#processes, rotations: 0 });
    return this.slots[at];
  }

  #halve() {
    const halved = [];
    for (let i = 0; i < this.slots.length; i += 2) {
      const [a, b = { processes: null, rotations: 0 }] = this.slots.slice(i, i + 2);
      const known = [a.processes, b.processes].filter((n) => n !== null);
      halved.push({ processes: known.length ? Math.max(...known) : null, rotations: a.rotations + b.rotations });
    }
    this.slots = halved;
    this.width *= 2;
  }
}

/** Chart is one figure: a caption that tells it in words, the drawing, and what its edges stand for. */
class Chart {
  #caption = element("span", "what");
  #value = element("span", "value");
  #top = element("span", "edge top-edge");
  #from = element("span", "edge from");
  #svg = drawing("svg", { role: "img", preserveAspectRatio: "none" });

  constructor(figure, title) {
    this.title = title;
    this.#caption.textContent = title;
    figure.append(
      element("figcaption", "", this.#caption, " ", this.#value),
      element("div", "plot", this.#top, element("span", "edge zero", "0"), this.#svg,
        this.#from, element("span", "edge now", "now")),
    );
  }

  /** Draws paths, each [class, d], over slots; most is what the upper edge stands for. */
  draw(history, most, value, words, ...paths) {
    const wide = Math.max(least, history.slots.length);
    say(this.#value, value);
    say(this.#top, count(most));
    const first = Date.now() - wide * history.width * 1000;
    say(this.#from, clock(new Date(first)));
    this.#svg.setAttribute("viewBox", `0 0 ${wide} ${height}`);
    this.#svg.setAttribute("aria-label", `${this.title}: ${words}`);
    const shift = wide - history.slots.length;
    this.#svg.replaceChildren(...paths.map(([kind, d]) => drawing("path", { class: kind, d: d(shift) })));
  }
}

/** Charts is both charts of a target's section. */
export class Charts {
  #processes;
  #rotations;

  constructor(section) {
    this.#processes = new Chart(section.querySelector(".chart.processes"), "Processes on copies");
    this.#rotations = new Chart(section.querySelector(".chart.rotations"), "Rotations");
  }

  update(history) {
    this.#drawProcesses(history);
    this.#drawRotations(history);
  }

  #drawProcesses(history) {
    const known = history.slots.map((s) => s.processes).filter((n) => n !== null);
    if (known.length === 0) return;
    const [low, high, now] = [Math.min(...known, history.processes), Math.max(...known), history.processes];
    const most = above(high);
    const y = (n) => (height * (1 - n / most)).toFixed(1);
    const line = (shift, close) => runs(history.slots).map(([from, values]) => {
      const steps = values.map((n, i) => `V${y(n)}H${shift + from + i + 1}`).join("");
      const x = shift + from;
      return close ? `M${x},${height}${steps}V${height}Z` : `M${x},${y(values[0])}${steps}`;
    }).join("");
    const words = `${count(now)} now, ${count(low)} to ${count(high)} ${since(history)}`;
    this.#processes.draw(history, most, `${count(now)} now, ${count(low)} – ${count(high)} seen`, words,
      ["area", (shift) => line(shift, true)], ["line", (shift) => line(shift, false)]);
  }

  #drawRotations(history) {
    const counts = history.slots.map((s) => s.rotations);
    const all = counts.reduce((a, b) => a + b, 0);
    const high = Math.max(0, ...counts);
    const most = above(high);
    const bars = (shift) => counts.map((n, i) => {
      const top = height * (1 - n / most);
      return n ? `M${shift + i + 0.1},${height}V${top.toFixed(1)}h0.8V${height}Z` : "";
    }).join("");
    const often = `${counted(all, "rotation", "rotations")} ${since(history)}, at most ${count(high)} in ${history.width} s`;
    this.#rotations.draw(history, most, `${count(all)} seen; a bar is ${history.width} s`, often, ["bars", bars]);
  }
}

/** Is how long the history is, in words. */
const since = (history) => `in ${duration(Math.max(1, (Date.now() - history.begin) / 1000))}`;

/** Is the least round number that is not below n. */
function above(n) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(1, n)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((k) => k * ten).find((round) => round >= n && Number.isInteger(round));
}

/** Is the runs of slots in which something was known, as [index, processes of each]. */
function runs(slots) {
  const found = [];
  slots.forEach(({ processes }, i) => {
    if (processes === null) return;
    if (i === 0 || slots[i - 1].processes === null) found.push([i, []]);
    found.at(-1)[1].push(processes);
  });
  return found;
}
