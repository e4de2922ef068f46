// Reads request bodies as a gateway in Node does: one base64 line in, one JSON line out.
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  let answer = null;
  try {
    const body = JSON.parse(Buffer.from(line, "base64").toString("utf8"));
    if (typeof body === "object" && body !== null && !Array.isArray(body)) {
      const { model, stream, stream_options: options } = body;
      answer = { model: model || null, stream: !!stream, include_usage: !!options?.include_usage };
    }
  } catch {
    // It refuses the body.
  }
  console.log(JSON.stringify(answer));
}
