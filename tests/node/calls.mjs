// Makes calls with the npm openai package and prints one JSON line for each.
//   node calls.mjs BASE_URL KEY MAX_RETRIES STEP...
import OpenAI from "openai";

const messages = [{ role: "user", content: process.env.PROMPT ?? "hi" }];
const tools = [
  {
    type: "function",
    function: {
      name: "bash",
      parameters: {
        type: "object",
        properties: { command: { type: "string" } },
        required: ["command"],
      },
    },
  },
];

const steps = {
  async chat(client) {
    const { data, response } = await client.chat.completions
      .create({ model: "m", messages })
      .withResponse();
    return { usage: data.usage, id: data.id, call: response.headers.get("x-cab-call-id") };
  },

  async silent(client) {
    const usages = [];
    let text = "";
    for await (const chunk of await client.chat.completions.create({
      model: "m",
      messages,
      stream: true,
    })) {
      text += chunk.choices[0].delta.content ?? "";
      if (chunk.usage !== undefined) usages.push(chunk.usage);
    }
    return { text, usages };
  },

  async streamed(client) {
    let usage = null;
    let text = "";
    for await (const chunk of await client.chat.completions.create({
      model: "m",
      messages,
      stream: true,
      stream_options: { include_usage: true },
    })) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    return { text, usage };
  },

  async tools(client) {
    const runner = client.chat.completions.stream({ model: "m", messages, tools });
    const completion = await runner.finalChatCompletion();
    return { calls: completion.choices[0].message.tool_calls.map((call) => call.function.name) };
  },

  async responses(client) {
    const kinds = [];
    let usage = null;
    for await (const event of await client.responses.create({
      model: "m",
      input: "look",
      stream: true,
    })) {
      kinds.push(event.type);
      usage = event.response?.usage ?? usage;
    }
    return { kinds, usage };
  },

  async abort(client) {
    const stream = await client.chat.completions.create({ model: "m", messages, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) {
        stream.controller.abort();
        break;
      }
    }
    return { aborted: true };
  },
};

const [url, key, retries, ...names] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: Number(retries) });
for (const name of names) {
  let result;
  try {
    result = await steps[name](client);
  } catch (error) {
    result = { error: error.constructor.name, status: error.status ?? null, code: error.code ?? null };
  }
  console.log(JSON.stringify(result));
}
