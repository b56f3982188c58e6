// The link to the daemon: one stream of server-sent events, made anew whenever it breaks.

const quiet = 30_000; // ms without news after which the daemon is asked whether it is still there
const patience = 10_000; // ms for an answer
const waits = [500, 1000, 2000, 5000]; // ms before each attempt; the last one goes for all further ones

/**
 * Link follows the daemon from start() on, for as long as the page is open. It calls
 *   status(document)   with each status document,
 *   events(list)       with all events that are kept, oldest first, before each stream begins,
 *   event(one)         with each event after those,
 *   changed(since)     with null when the stream is up, and with the time since when it is not.
 */
export class Link {
  #told;
  #stream = null;
  #attempt = 0; // the number of the present one: what an earlier one brings late is of no use
  #since = new Date();
  #failures = 0;
  #retry = 0;
  #watchdog = 0;

  constructor(told) {
    this.#told = told;
  }

  start() {
    this.#connect();
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  /**
   * Asks for the events first and then for a stream of what comes after them: a daemon that was started anew
   * counts events anew.
   */
  async #connect() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    const attempt = ++this.#attempt;
    try {
      const { events } = await ask("v1/events");
      if (attempt !== this.#attempt) return;
      this.#told.events(events);
      this.#follow(attempt, events.at(-1)?.id ?? 0);
    } catch {
      this.#broke(attempt);
    }
  }

  #follow(attempt, after) {
    const stream = new EventSource(`v1/live?after=${after}`);
    this.#stream = stream;
    stream.onerror = () => this.#broke(attempt);
    stream.onopen = () => {
      this.#failures = 0;
      this.#since = null;
      this.#told.changed(null);
    };
    stream.addEventListener("status", (message) => {
      this.#heard(attempt);
      this.#told.status(JSON.parse(message.data));
    });
    stream.addEventListener("event", (message) => {
      this.#heard(attempt);
      this.#told.event(JSON.parse(message.data));
    });
    this.#heard(attempt); // a server that accepts and says nothing is found out too
  }

  /** Gives the stream up. The browser's own attempts end for good with the first answer that is an error. */
  #broke(attempt) {
    if (attempt !== this.#attempt) return;
    this.#attempt++;
    this.#stream?.close();
    this.#stream = null;
    clearTimeout(this.#watchdog);
    this.#since ??= new Date();
    this.#told.changed(this.#since);
    const wait = waits[Math.min(this.#failures++, waits.length - 1)];
    this.#retry = setTimeout(() => this.#connect(), wait);
  }

  /** Does not wait for the next attempt: the network is back, or somebody looks at the page again. */
  #hurry() {
    if (this.#retry) this.#connect();
  }

  /** A connection may die without a word, in a suspended laptop or behind a firewall. */
  #heard(attempt) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(async () => {
      try {
        const status = await ask("v1/status");
        if (attempt !== this.#attempt) return;
        if (this.#stream.readyState !== EventSource.OPEN) throw new Error("the stream does not begin");
        this.#told.status(status);
        this.#heard(attempt);
      } catch {
        this.#broke(attempt);
      }
    }, quiet);
  }
}

/** Is the JSON document at url; anything else is an error. */
async function ask(url) {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(patience) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}
