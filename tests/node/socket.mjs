// Makes calls over one WebSocket each with the npm openai package and prints one JSON line for each.
//   node socket.mjs BASE_URL KEY MAX_RETRIES STEP...
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const ends = ["response.completed", "response.incomplete", "response.failed", "error"];
const create = (input, more = {}) => ({ type: "response.create", model: "m", input, ...more });

/** Sends what `next` returns for the events so far, until it returns null; returns the events. */
function converse(client, next) {
  return new Promise((resolve, reject) => {
    const events = [];
    const socket = new ResponsesWS(client);
    const go = () => {
      const frames = next(events);
      if (frames === null) socket.close();
      else frames.forEach((frame) => socket.send(frame));
    };
    socket.on("error", (error) => error.error?.type !== "error" && reject(error));
    socket.on("event", (event) => {
      events.push(event);
      go();
    });
    socket.socket.on("open", go);
    socket.socket.on("close", () => resolve(events));
  });
}

const told = (events) =>
  events
    .filter((event) => ends.includes(event.type))
    .map(({ response }) => ({ id: response.id, usage: response.usage }));

const steps = {
  // One create, then one that builds on it in another lane.
  async fork(client) {
    const events = await converse(client, (seen) => {
      const last = seen.at(-1);
      if (last === undefined) return [create("hi")];
      if (!ends.includes(last.type)) return [];
      if (last.stream_id === "fork") return null;
      return [create("more", { stream_id: "fork", previous_response_id: last.response.id })];
    });
    return told(events);
  },

  // One create that is steered as soon as it has begun.
  async steer(client) {
    const events = await converse(client, (seen) => {
      const last = seen.at(-1);
      if (last === undefined) return [create("hi")];
      if (last.type === "response.completed") return null;
      if (last.type !== "response.created" || last.response.previous_response_id) return [];
      const previous_response_id = last.response.id;
      return [{ type: "response.steer", previous_response_id, input: "in German" }];
    });
    return told(events);
  },
};

const [url, key, retries, ...names] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: Number(retries) });
for (const name of names) {
  let result;
  try {
    result = await steps[name](client);
  } catch (error) {
    result = { error: error.message };
  }
  console.log(JSON.stringify(result));
}
