// The event log: newest first, of the kinds that are asked for.

import { element, say } from "./dom.js";
import { clock, count, duration } from "./words.js";

const kept = 2000; // events; the oldest go first
const page = 30; // events shown at once, and how many more each time they are asked for

/** EventLog owns the section of that name. */
export class EventLog {
  #events = []; // oldest first
  #ids = new Set();
  #rows = new WeakMap(); // each event's row, which is made once
  #hidden = new Set(); // kinds
  #boxes = new Map(); // by kind: {label, number}
  #shown = page;
  #filters = document.getElementById("filters");
  #list = document.getElementById("log");
  #summary = document.getElementById("log-shown");
  #older = document.getElementById("log-older");

  constructor() {
    this.#older.addEventListener("click", () => {
      this.#shown += page;
      this.update();
      if (this.#older.hidden) this.#list.closest("section").focus(); // else the focus would be lost
    });
  }

  /** Forgets all and keeps these, oldest first: the daemon may have been started anew. */
  replace(events) {
    this.#events = [];
    this.#ids.clear();
    for (const event of events) this.add(event);
  }

  /** Keeps one more; one that is known already is not kept twice. */
  add(event) {
    if (this.#ids.has(event.id)) return;
    this.#ids.add(event.id);
    this.#events.push(event);
    if (this.#events.length > kept) this.#ids.delete(this.#events.shift().id);
  }

  /** Shows what is kept. */
  update() {
    const numbers = new Map();
    for (const { kind } of this.#events) numbers.set(kind, (numbers.get(kind) ?? 0) + 1);
    this.#offer(numbers);
    const wanted = this.#events.filter((e) => !this.#hidden.has(e.kind)).reverse();
    const rows = wanted.slice(0, this.#shown).map((e) => this.#row(e));
    if (rows.length !== this.#list.children.length || rows.some((row, i) => row !== this.#list.children[i])) {
      this.#list.replaceChildren(...rows);
    }
    this.#list.start = wanted.length;
    this.#older.hidden = wanted.length <= this.#shown;
    say(this.#summary, this.#told(rows.length, wanted.length));
  }

  #told(shown, wanted) {
    const all = this.#events.length;
    if (all === 0) return "Nothing has happened since the daemon's start.";
    if (wanted === 0) return `None of the ${count(all)} events is of a kind that is shown.`;
    return `${count(shown)} of ${count(all)}, newest first.`;
  }

  /** Offers a box for each kind that there is, with how many are of it. */
  #offer(numbers) {
    for (const kind of [...numbers.keys()].sort()) {
      if (this.#boxes.has(kind)) continue;
      const box = element("input", "");
      box.type = "checkbox";
      box.checked = true;
      box.value = kind;
      box.addEventListener("change", () => {
        if (box.checked) this.#hidden.delete(kind);
        else this.#hidden.add(kind);
        this.#shown = page;
        this.update();
      });
      const number = element("span", "number");
      const label = element("label", "", box, ` ${kind} `, number);
      const next = [...this.#filters.children].find((other) => other.querySelector("input").value > kind);
      this.#filters.insertBefore(label, next ?? null);
      this.#boxes.set(kind, { label, number });
    }
    for (const [kind, { number }] of this.#boxes) say(number, count(numbers.get(kind) ?? 0));
  }

  #row(event) {
    let row = this.#rows.get(event);
    if (!row) {
      row = element("li", "", ...describe(event));
      row.dataset.kind = event.kind;
      this.#rows.set(event, row);
    }
    return row;
  }
}

/** Is an event as the cells of its row. What the message says already is not said twice. */
function describe(event) {
  const at = new Date(event.time);
  const time = element("time", "", clock(at));
  time.dateTime = event.time;
  const what = element("span", "what", event.message || event.reason || event.kind);
  const says = (text) => !text || what.textContent.includes(text);
  if (!says(event.from) || !says(event.to)) what.append(element("span", "move", `${event.from || "none"} → ${event.to || "none"}`));
  if (!says(event.reason)) what.append(element("span", "why", event.reason));
  if (event.seconds > 0) what.append(element("span", "took", duration(event.seconds)));
  return [time, element("span", "kind", event.kind), element("span", "about", event.target || "daemon"), what];
}
