/** Server-sent events out of a fetch body (EventSource cannot POST), parsed as the HTML standard says. */

export class SseParser {
  #decoder = new TextDecoder("utf-8"); // keeps a cut character for the next chunk, drops a leading byte order mark
  #rest = "";
  #seen = 0; // how much of #rest is known to hold no line end
  #skipNewline = false; // the last line ended with \r: a following \n belongs to it
  #event = "";
  #data = [];
  #id = "";

  /** Bytes in, finished events `{event, data, id}` out. */
  push(bytes) {
    return this.#feed(this.#decoder.decode(bytes, { stream: true }));
  }

  #feed(text) {
    const events = [];
    if (this.#skipNewline && text !== "") {
      if (text[0] === "\n") text = text.slice(1);
      this.#skipNewline = false;
    }
    this.#rest += text;
    let start = 0;
    for (let i = this.#seen; i < this.#rest.length; i += 1) {
      const char = this.#rest[i];
      if (char !== "\n" && char !== "\r") continue;
      const event = this.#line(this.#rest.slice(start, i));
      if (event) events.push(event);
      if (char === "\r") {
        if (i + 1 === this.#rest.length) this.#skipNewline = true;
        else if (this.#rest[i + 1] === "\n") i += 1;
      }
      start = i + 1;
    }
    this.#rest = this.#rest.slice(start);
    this.#seen = this.#rest.length;
    return events;
  }

  #line(line) {
    if (line === "") {
      const event = this.#data.length
        ? { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id }
        : null;
      this.#event = "";
      this.#data = [];
      return event;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return null; // a comment, such as the ping
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }
}

/** Calls `onEvent` for each event of a fetch body, in order. Ends with the body; a half-sent frame is dropped. */
export async function readEvents(body, onEvent) {
  const parser = new SseParser();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of parser.push(value)) onEvent(event);
    }
  } finally {
    reader.cancel().catch(() => {}); // also when onEvent threw: the request must not live on
  }
}
