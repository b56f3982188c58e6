// The status page of relinkd: shows what the daemon tells, and changes nothing. The parts own what they
// show; this file lets them have what comes over the link, and has them drawn when the browser draws.

import { element, say, withCommands } from "./dom.js";
import { EventLog } from "./events.js";
import { findings, headline, levelWords } from "./health.js";
import { Link } from "./link.js";
import { anchor, Target } from "./target.js";
import { clock, zone } from "./words.js";

class Page {
  #status = null;
  #targets = new Map(); // by name
  #log = new EventLog();
  #version = ""; // of the daemon that this page came from
  #down = null; // since when; null while the link is up
  #dirty = new Set(); // what is to be drawn: "status", "events", "charts"
  #main = document.getElementById("main");

  /** Begins to follow the daemon. */
  start() {
    say(document.getElementById("clock"), `Times are this browser's, ${zone()}.`);
    new Link({
      status: (status) => this.#see(status),
      events: (events) => (this.#log.replace(events), this.#draw("events")),
      event: (event) => (this.#log.add(event), this.#draw("events")),
      changed: (since) => this.#linked(since),
    }).start();
    setInterval(() => this.#tick(), 1000);
  }

  #see(status) {
    this.#status = status;
    this.#version ||= status.version;
    const holder = document.getElementById("targets");
    const gone = new Set(this.#targets.keys());
    status.targets.forEach((t, i) => {
      gone.delete(t.name);
      if (!this.#targets.has(t.name)) this.#targets.set(t.name, new Target(t.name));
      const target = this.#targets.get(t.name);
      if (holder.children[i] !== target.section) holder.insertBefore(target.section, holder.children[i] ?? null);
      target.see(t);
    });
    for (const name of gone) {
      this.#targets.get(name).section.remove();
      this.#targets.delete(name);
    }
    this.#draw("status");
  }

  /** Is called each second: the daemon says nothing while nothing changes. */
  #tick() {
    if (this.#down || !this.#status) return;
    for (const target of this.#targets.values()) target.tick();
    this.#draw("charts");
  }

  /** Shows whether what is shown is what is. */
  #linked(since) {
    this.#down = since;
    const link = document.getElementById("link");
    link.dataset.link = since ? (this.#status ? "down" : "connecting") : "live";
    say(document.getElementById("link-text"), since ? `reconnecting since ${clock(since)}` : "live");
    document.body.classList.toggle("old", Boolean(since && this.#status));
    if (since) for (const target of this.#targets.values()) target.interrupt();
  }

  /** Has a part drawn when the browser draws next, which it does not do for a page that nobody sees. */
  #draw(part) {
    if (this.#dirty.size === 0) requestAnimationFrame(() => this.#drawAll());
    this.#dirty.add(part);
  }

  #drawAll() {
    const dirty = new Set(this.#dirty);
    this.#dirty.clear();
    if (dirty.has("events")) this.#log.update();
    if (!this.#status) return;
    if (dirty.has("status")) {
      this.#drawHealth();
      for (const target of this.#targets.values()) target.update();
      this.#main.hidden = false;
    } else if (dirty.has("charts")) {
      for (const target of this.#targets.values()) target.updateCharts();
    }
  }

  #drawHealth() {
    const status = this.#status;
    const found = findings(status);
    if (status.version !== this.#version) {
      found.push({ level: "note", about: "", what: "The daemon was upgraded", why: `it is ${status.version} now, this page ${this.#version}`, todo: "Reload the page." });
    }
    const [level, text] = headline(status, found);
    const line = document.getElementById("headline");
    say(line, text);
    line.dataset.level = level;
    const list = document.getElementById("findings");
    const told = JSON.stringify(found);
    if (list.dataset.told !== told) {
      list.replaceChildren(...found.map(finding));
      list.dataset.told = told;
    }
    document.title = `${text} – relinkd`;
    say(document.getElementById("version"), status.version);
    say(document.getElementById("counting"), counting(status));
  }
}

/** Is what was found as an item of the list. */
function finding({ level, about, what, why, todo }) {
  const sign = element("span", "sign", element("span", "unseen", `${levelWords[level]}: `));
  const line = element("p", "", element("strong", "", what), why ? `: ${why}` : "");
  if (about) {
    const link = element("a", "about", about);
    link.href = `#${anchor(about)}`;
    line.prepend(link, " ");
  }
  const text = element("div", "", line);
  if (todo) text.append(element("p", "todo", ...withCommands(todo)));
  const item = element("li", "finding", sign, text);
  item.dataset.level = level;
  return item;
}

/** Is where the counts come from, and why from there. */
function counting(status) {
  const source = status.accounting === "netlink" ? "Processes are counted by the kernel's events and a census" : "Processes are counted by census alone";
  return source + (status.accounting_reason ? ` (${status.accounting_reason}).` : ".");
}

new Page().start();
