import assert from "node:assert/strict";
import { test } from "node:test";

import { SseParser, readEvents } from "../../app/web/sse.js";

const bytes = (text) => new TextEncoder().encode(text);
const all = (...chunks) => {
  const parser = new SseParser();
  return chunks.flatMap((chunk) => parser.push(chunk));
};

const STREAM =
  ": ping\r\n\r\nevent: start\r\nid: 0\r\ndata: {\"type\":\"start\"}\r\n\r\n" +
  "event: delta\nid: 1\ndata: {\"text\":\"na\u00efve \ud83d\udc69\u200d\ud83d\udcbb \u05e9\u05dc\u05d5\u05dd\"}\n\n" +
  "event: nobody-knows\ndata:x\ndata\ndata:  y\nretry: 5\n\n" +
  "event: empty\n\nid: 7\rdata: last\r\r";
const EVENTS = [
  { event: "start", data: '{"type":"start"}', id: "0" },
  { event: "delta", data: '{"text":"na\u00efve \ud83d\udc69\u200d\ud83d\udcbb \u05e9\u05dc\u05d5\u05dd"}', id: "1" },
  { event: "nobody-knows", data: "x\n\n y", id: "1" },
  { event: "message", data: "last", id: "7" },
];

test("a whole stream in one piece", () => {
  assert.deepEqual(all(bytes(STREAM)), EVENTS);
});

test("cut in two at every byte, also inside a character and between \\r and \\n", () => {
  const raw = bytes(STREAM);
  for (let at = 0; at <= raw.length; at += 1) {
    assert.deepEqual(all(raw.subarray(0, at), raw.subarray(at)), EVENTS, `cut at ${at}`);
  }
});

test("byte by byte", () => {
  assert.deepEqual(all(...Array.from(bytes(STREAM), (byte) => Uint8Array.of(byte))), EVENTS);
});

test("comments, empty events and a frame that never ends give nothing", () => {
  assert.deepEqual(all(bytes(": ping\n\n:\n\nevent: x\n\ndata: cut off\n")), []);
});

test("a byte order mark is no part of the first field", () => {
  assert.deepEqual(all(bytes("\ufeffdata: a\n\n")), [{ event: "message", data: "a", id: "" }]);
});

test("the event name does not leak into the next frame", () => {
  assert.deepEqual(all(bytes("event: a\ndata: 1\n\ndata: 2\n\n")).map((e) => e.event), ["a", "message"]);
});

test("U+2028 and 'event:' inside data end no line", () => {
  const data = '{"text":"a\u2028event: done\u0085b"}';
  assert.deepEqual(all(bytes(`data: ${data}\n\n`)), [{ event: "message", data, id: "" }]);
});

test("readEvents reads to the end and lets the body go when the consumer throws", async () => {
  const seen = [];
  await readEvents(new Response(STREAM).body, (event) => seen.push(event));
  assert.deepEqual(seen, EVENTS);

  let cancelled = false;
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(bytes("data: x\n\n")),
    cancel: () => {
      cancelled = true;
    },
  });
  await assert.rejects(readEvents(body, () => {
    throw new Error("no");
  }));
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(cancelled, true);
});
