// The sources of runs, with the same `ask`, `open` and `watch`: HTTP to `newtron play`, the messages of a notebook's
// widget, and what was recorded when a page was made. What Python answers is the same text.

/** @import { Source, WidgetModel } from "../types/page" */

/** @implements {Source} */
export class Http {
  constructor() {
    this.url = true;
    this.live = true;
    this.gone = { what: "The server is gone.", again: ["start ", "newtron play", " again"] };
    this.token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  }

  async post(path, body) {
    const answer = await fetch(path, { method: "POST", headers: { "X-Newtron-Token": this.token }, body });
    const text = await answer.text(); // it fails where nobody answers any more, and only there
    try {
      return JSON.parse(text);
    } catch {
      return { error: `newtron sent an answer that is no JSON (HTTP ${answer.status}); its terminal may say why.` };
    }
  }

  ask(message) {
    return this.post("/api/ask", JSON.stringify(message));
  }

  open(file) {
    return this.post(`/api/open?name=${encodeURIComponent(file.name)}`, file);
  }

  // Calls back when the server is gone: an answer that never ends then breaks off.
  async watch(gone) {
    try {
      const answer = await fetch("/api/alive", { headers: { "X-Newtron-Token": this.token } });
      if (!answer.ok) return;
      const reader = answer.body.getReader();
      while (!(await reader.read()).done);
    } catch {
      /* said below */
    }
    gone();
  }
}

/** @implements {Source} */
export class Widget {
  /** @param {WidgetModel} model */
  constructor(model) {
    this.gone = { what: "The notebook's Python is gone.", again: ["run ", "model.play(…)", " again"] };
    this.live = true;
    this.model = model;
    this.waiting = new Map();
    // A widget may be shown in several places, and each hears the answers to all.
    this.name = Math.random().toString(36).slice(2);
    this.next = 0;
    this.hear = ({ id, answer }) => {
      this.waiting.get(id)?.(JSON.parse(answer));
      this.waiting.delete(id);
    };
    model.on("msg:custom", this.hear);
  }

  send(content, buffers) {
    const id = `${this.name}/${++this.next}`;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.model.send({ id, ...content }, undefined, buffers);
    });
  }

  ask(message) {
    return this.send({ message });
  }

  async open(file) {
    return this.send({ name: file.name }, [await file.arrayBuffer()]);
  }

  // Calls back when the kernel that made the widget has ended: its connection has changed, and nobody answers.
  watch(gone) {
    this.changed = async () => {
      const waiting = new Promise((_, reject) => {
        setTimeout(reject, 3000);
      });
      await Promise.race([this.ask({ kind: "hello" }), waiting]).catch(gone);
    };
    this.model.on("comm_live_update", this.changed);
  }

  close() {
    this.model.off("msg:custom", this.hear);
    this.model.off("comm_live_update", this.changed);
  }
}

// What was asked of newtron when the page was made, with its answers: nothing else can be asked.
/** @implements {Source} */
export class Recorded {
  /** @param {[object, object][]} record */
  constructor(record) {
    this.live = false;
    this.gone = { what: "Nobody computes behind this page.", again: ["start ", "newtron play", ""] };
    this.answers = new Map(record.map(([message, answer]) => [canonical(message), answer]));
  }

  async ask(message) {
    return (
      this.answers.get(canonical(message)) ?? { error: "This was not recorded when the page was made.", absent: true }
    );
  }

  async open() {
    return { file: null, error: "A recorded page opens no file." };
  }

  watch() {}
}

// The same text for the same message, in whichever order its fields stand.
/** @param {unknown} value */
export const canonical = (value) =>
  JSON.stringify(value, (_, part) =>
    part && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
