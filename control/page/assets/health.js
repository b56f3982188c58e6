// What is wrong, and what to do about it: the status document read as an operator reads it.

import { counted, count } from "./words.js";

/** From bad to good. */
export const levels = ["bad", "warn", "wait", "note", "good"];

/** What a level is called where its colour cannot be seen. */
export const levelWords = { bad: "Wrong", warn: "Needs attention", wait: "Under way", note: "Note", good: "Fine" };

/** What each state of a target means, and what to do; NAME stands for the target's name. */
const states = {
  starting: ["wait", "it has not been looked at yet", ""],
  settling: ["wait", "a new file at its path is not complete yet", ""],
  cloning: ["wait", "a new generation of copies is being made", ""],
  steady: ["good", "", ""],
  bypassed: ["warn", "new processes run the packaged file, not a copy", "`relinkd plan` tells what relinkd waits for."],
  released: ["note", "it is not managed, by an operator's word", "`relinkd manage NAME` begins again."],
  absent: ["note", "nothing is installed at its path", "It is managed again when it is installed."],
  degraded: ["bad", "something is wrong", "Mend what the reason names: relinkd tries again by itself. `relinkd doctor` looks at the whole host, `journalctl -u relinkd` has the details."],
};

/** The level of a target's state. */
export function levelOf(target) {
  const [level] = states[target.state] ?? ["warn"];
  return level === "good" && (target.reason || target.saturated || fullest(target) > target.threshold) ? "warn" : level;
}

/** The most processes on one copy now. */
export const fullest = (target) => target.copies.reduce((most, c) => Math.max(most, c.processes), 0);

/**
 * Is all there is to say of a status document, the worst first: {level, about, what, why, todo}. about is a
 * target's name, or empty for the daemon; todo may hold `commands`.
 */
export function findings(status) {
  const found = [...status.targets.flatMap(ofTarget), ...ofDaemon(status)];
  return found.sort((a, b) => levels.indexOf(a.level) - levels.indexOf(b.level));
}

function ofTarget(target) {
  const found = [];
  const about = target.name;
  const [level, meaning, usual] = states[target.state] ?? ["warn", "this page does not know that state", "Reload the page."];
  const [why, advice] = parted(target.reason);
  let todo = advice || usual;
  if (target.state === "degraded" && target.awaits_manage) todo = "`relinkd manage NAME` verifies the copies and takes them over.";
  if (target.state === "released" && !target.awaits_manage) todo = "";
  if (target.state === "steady" && why) {
    found.push({ level: "warn", about, what: "steady, but", why, todo: advice });
  } else if (level !== "good" || levelOf(target) === "good") {
    found.push({ level, about, what: target.state, why: why || meaning, todo: todo.replaceAll("NAME", about) });
  }
  const over = target.copies.filter((c) => c.processes > target.threshold).length;
  if (over > 0) {
    found.push({
      level: "bad", about, what: "over the threshold",
      why: `${counted(over, "copy has", "copies have")} more than ${counted(target.threshold, "process", "processes")}`,
      todo: target.saturated ? "" : "Lower `rotate_at`, so that there is more room above the mark, and run `relinkd reload`.",
    });
  }
  if (target.saturated) {
    const stuck = target.growth_reason && target.copies.length < target.max_copies;
    found.push({
      level: "warn", about, what: "saturated",
      why: `no copy has room below the mark, and ${
        stuck ? `no more can be made: ${target.growth_reason}` : `the pool has grown to max_copies (${count(target.max_copies)})`}`,
      todo: stuck
        ? "Make room for copies, or raise `threshold` in relinkd.toml and run `relinkd reload`."
        : "Raise `max_copies` or `threshold` in relinkd.toml, then run `relinkd reload`.",
    });
  }
  return found;
}

function ofDaemon(status) {
  const found = [];
  const add = (level, what, why, todo) => found.push({ level, about: "", what, why, todo });
  if (status.config_error) {
    add("warn", "The configuration in force is an earlier one", status.config_error,
      "Mend the file until `relinkd check-config` is content, then run `relinkd reload`.");
  }
  if (status.unreadable_processes > 0) {
    add("warn", `${counted(status.unreadable_processes, "process", "processes")} cannot be read`,
      "every count may be too low",
      "`relinkd doctor` tells what relinkd lacks: root, CAP_SYS_PTRACE, or the leave of a security module.");
  }
  // What a target's reason says already is not said twice.
  if (status.last_error && !status.targets.some((t) => t.reason && status.last_error.endsWith(t.reason))) {
    const [why, advice] = parted(status.last_error);
    add(status.targets.some((t) => levelOf(t) === "bad") ? "warn" : "note", "Last error since the daemon's start", why, advice);
  }
  if (status.accounting === "census") {
    add("note", "Counted by census alone", status.accounting_reason || "the kernel tells of no process",
      "A burst between two censuses can pass the threshold.");
  }
  if (status.overflows > 0) {
    add("note", `Events were lost ${counted(status.overflows, "time", "times")}`, "a new count followed each time", "");
  }
  if (status.targets.length === 0) {
    add("warn", "There is no target", "the configuration names none", "Add one to relinkd.toml, then run `relinkd reload`.");
  }
  return found;
}

/** Parts a reason from the advice that the daemon has put behind it. */
function parted(reason) {
  const [why, ...advice] = reason.trimEnd().split("; try: ");
  const todo = advice.join("; try: ");
  return [why, todo && todo[0].toUpperCase() + todo.slice(1) + "."];
}

/** Is the one line above everything, and its level. */
export function headline(status, found) {
  const wrong = found.filter((f) => f.level === "bad" || f.level === "warn").length;
  const level = found[0]?.level ?? "good";
  if (wrong > 0) return [level, wrong === 1 ? "One thing needs attention" : `${wrong} things need attention`];
  if (level === "wait") return [level, "Work is under way"];
  const managed = status.targets.filter((t) => t.state === "steady").length;
  if (managed === 0) return ["note", "Nothing is managed"];
  return ["good", managed === status.targets.length ? "All is well" : `All is well: ${managed} of ${status.targets.length} targets managed`];
}
