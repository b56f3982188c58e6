// A target's section: its name and state, its totals, its copies, its charts.

import { Charts, History } from "./charts.js";
import { HeatMap } from "./copies.js";
import { element, say } from "./dom.js";
import { levelOf } from "./health.js";
import { bytes, count, counted, duration, minute, rate } from "./words.js";

/** Is the name of the section of a target, for links to it. */
export const anchor = (name) => `target-${name}`;

/** Target owns one section, which it makes. */
export class Target {
  section;
  #history = new History();
  #latest = null;
  #heat;
  #charts;
  #totals = new Map(); // by name: {value, more}

  constructor(name) {
    const template = document.getElementById("target");
    this.section = template.content.firstElementChild.cloneNode(true);
    this.section.id = anchor(name);
    this.section.tabIndex = -1;
    const title = this.section.querySelector("h2");
    title.id = `${this.section.id}-title`;
    title.textContent = name;
    this.section.setAttribute("aria-labelledby", title.id);
    this.#heat = new HeatMap(this.section);
    this.#charts = new Charts(this.section);
  }

  /** Takes in what a status tells, and shows nothing yet. */
  see(status) {
    this.#latest = status;
    this.tick();
  }

  /** Notes that what was seen last still holds: the daemon sends what has changed only. */
  tick() {
    this.#history.add(this.#latest.processes, this.#latest.rotations);
  }

  /** Says that the link is down. */
  interrupt() {
    this.#history.interrupt();
  }

  /** Shows what was seen last. */
  update() {
    const t = this.#latest;
    const state = this.section.querySelector(".state");
    say(state, t.saturated ? `${t.state}, saturated` : t.state);
    state.dataset.level = levelOf(t);
    say(this.section.querySelector(".where"), where(t));
    for (const [name, value, more] of totals(t)) this.#total(name, value, more);
    this.#heat.update(t);
    this.#charts.update(this.#history);
  }

  /** Shows the charts alone: time goes by. */
  updateCharts() {
    this.#charts.update(this.#history);
  }

  #total(name, value, more) {
    let total = this.#totals.get(name);
    if (!total) {
      total = { value: element("span", "value"), more: element("span", "more") };
      this.#totals.set(name, total);
      this.section.querySelector(".totals").append(
        element("div", "", element("dt", "", name), element("dd", "", total.value, " ", total.more)));
    }
    say(total.value, value);
    say(total.more, more);
  }
}

/** Is where a target is, and how it is published. */
function where(t) {
  const how = { symlink: "a symbolic link to", launcher: "a launcher of", none: "left as packaged; to be executed is" }[t.publish] ?? t.publish;
  return t.private_link ? `${t.path}, ${how} ${t.private_link}` : t.path;
}

/** Is a target's totals, each [name, value, what more there is to say]. */
function totals(t) {
  const room = t.copies.reduce((sum, c) => sum + Math.max(0, t.mark - c.processes), 0);
  const reasons = Object.entries(t.rotations_by_reason).filter(([, n]) => n > 0).map(([reason, n]) => `${count(n)} ${reason}`);
  const { sha256, size, since } = t.generation;
  return [
    ["Processes", count(t.processes), `on ${counted(t.copies.length, "copy", "copies")}`],
    ["Room below the mark", count(room), `${count(t.mark)} a copy, of ${count(t.threshold)}`],
    ["Stale", count(t.stale_processes), "on replaced copies"],
    ["Source", count(t.source_processes), "on the packaged file"],
    ["New", rate(t.exec_rate), "a second"],
    ["Seen after", duration(t.event_latency_seconds), "event latency"],
    ["Threshold promised", t.threshold_promised ? "yes" : "no",
      t.threshold_promised ? `if no more than ${count(t.unseen_processes)} start unseen` : t.threshold_reason],
    ["Rotations", count(t.rotations), reasons.join(", ") || "none yet"],
    ["Highest so far", count(t.peak_copy_processes), "on one copy"],
    ["Generation", sha256 ? sha256.slice(0, 12) : "none", sha256 ? `${bytes(size)}, since\n${minute(new Date(since))}` : ""],
  ];
}
