/**
 * A process of its own that holds a session over Redis, for tests with several of them. Arguments as JSON: `{ storage, url, options,
 * steps }`; `steps` is true to wait before each step. It is told `{ ask, user, count }` and answers `{ tokens, codes }`.
 *
 * A step is a call of the storage or a request, before it begins and after it is answered: with `steps` it kills itself at step
 * number `killAt`.
 */
import { Session } from "../../../pkg/index.js";
import { RedisStorage as GuideStorage } from "../../../examples/redis/guide-storage.js";
import { RedisStorage } from "../../../examples/redis/storage.js";

const { storage: kind, url, options, killAt } = JSON.parse(process.argv[2]);
const storage = kind === "guide" ? new GuideStorage(url) : new RedisStorage({ url, onError() {} });

let steps = 0;
/** The parent ends at once what has come so far. */
function step() {
  if (++steps === killAt) process.kill(process.pid, "SIGKILL");
}
const stepping = (of, name) => {
  const method = of[name];
  of[name] = async function stepped(...args) {
    step();
    const result = await method.apply(this, args);
    step();
    return result;
  };
};
if (killAt !== undefined) {
  stepping(storage, "get");
  stepping(storage, "set");
  stepping(globalThis, "fetch");
}

const session = new Session({ ...options, storage });

const codes = {
  isAuthorized: (user) => session.isAuthorized(user),
  getAccessToken: (user) => session.getAccessToken(user),
};

process.on("message", async ({ ask, user, count = 1, end }) => {
  if (end) process.exit(0);
  const settled = await Promise.allSettled(Array.from({ length: count }, () => codes[ask](user)));
  process.send({
    values: settled.filter(({ status }) => status === "fulfilled").map(({ value }) => value),
    codes: settled.filter(({ status }) => status === "rejected").map(({ reason }) => reason.code ?? String(reason)),
    steps,
  });
});
process.send({ ready: true });
