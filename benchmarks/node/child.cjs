// Runs the Node.js peer in a process of its own, as child.py runs the Python ones: child.cjs MODE BUNDLE.
const started = process.hrtime.bigint();

const fs = require("node:fs");
const readline = require("node:readline");

// Not process.resourceUsage().maxRSS, which begins with the size of the process that started this one.
function status(name) {
  try {
    return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(fs.readFileSync("/proc/self/status", "ascii"))[1]);
  } catch {
    return process.resourceUsage().maxRSS;
  }
}

async function cold(path) {
  const event = fs.readFileSync(0, "utf8");
  const { handler } = require(path);
  const imported = process.hrtime.bigint();
  const result = await handler(JSON.parse(event));
  const answered = process.hrtime.bigint();
  const report = { started: Number(started), imported: Number(imported), answered: Number(answered) };
  console.log(JSON.stringify({ ...report, peak_kb: status("VmHWM"), result }));
  process.exit(0);
}

async function worker(path) {
  const { handler } = require(path);
  const files = new Map();
  const read = (name) => files.get(name) ?? files.set(name, fs.readFileSync(name, "latin1")).get(name);

  function events({ event, tokens, first, calls }) {
    const template = read(event);
    const list = read(tokens).split("\n");
    return Array.from({ length: calls }, (_, i) =>
      // Through a buffer, so that the text is one flat string, as it arrives from outside.
      Buffer.from(template.replace("@TOKEN@", list[(first + i) % list.length]).replaceAll("@N@", first + i)).toString(),
    );
  }

  // The first quarter only fills the CPU's caches.
  const untimed = (batch) => Math.floor(batch.length / 4);

  async function alone(raw) {
    const batch = raw.map((event) => JSON.parse(event));
    const first = untimed(batch);
    for (const event of batch.slice(0, first)) await handler(event);
    const start = process.hrtime.bigint();
    for (const event of batch.slice(first)) await handler(event);
    return Number(process.hrtime.bigint() - start) / (batch.length - first);
  }

  async function withJson(raw) {
    const first = untimed(raw);
    for (const event of raw.slice(0, first)) JSON.stringify(await handler(JSON.parse(event)));
    const start = process.hrtime.bigint();
    for (const event of raw.slice(first)) JSON.stringify(await handler(JSON.parse(event)));
    return Number(process.hrtime.bigint() - start) / (raw.length - first);
  }

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const raw = events(command);
    const answer =
      command.do === "answer"
        ? { result: await handler(JSON.parse(raw[0])) }
        : { ns: await (command.json ? withJson : alone)(raw), kb: status("VmRSS"), peak_kb: status("VmHWM") };
    console.log(JSON.stringify(answer));
  }
}

({ cold, worker })[process.argv[2]](process.argv[3]);
