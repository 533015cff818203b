// Two ways to reach Python, with the same `ask`: HTTP to `newtron play`, and a notebook widget's messages.

export class Http {
  constructor() {
    this.url = true;
    this.token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  }

  async post(path, body) {
    const answer = await fetch(path, { method: "POST", headers: { "X-Newtron-Token": this.token }, body });
    return answer.json();
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
    } catch { /* said below */ }
    gone();
  }
}

export class Widget {
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.next = 0;
    model.on("msg:custom", (answer) => {
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
  }

  ask(message) {
    const id = ++this.next;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.model.send({ id, ...message });
    });
  }
}
