/**
 * A program that uses secrets under Node as a server would, lets everything fail, and says in the end all that it was told. Whatever it
 * prints besides is the package's. Started by canary.test.js: `CANARIES` are the secrets as JSON, `SERVER` the origin.
 */
import { format } from "node:util";
import init, { HttpTransporter, Schema, Session, StateClientStorage, Store } from "../../../pkg/index.js";

const secrets = JSON.parse(process.env.CANARIES);
const origin = process.env.SERVER;
const texts = [];
/** As people log errors: with everything that hangs on them. */
const tell = (...what) => texts.push(format(...what), ...what.map((one) => JSON.stringify(one) ?? ""));
const attempt = (act) => Promise.resolve().then(act).catch(tell);

await init();
const states = new Map();
const storage = {
  get: async (user) => states.get(user),
  set: async (user, state) =>
    void (state === undefined ? states.delete(user) : states.set(user, structuredClone(state))),
};
const { clientSecret } = secrets;
const session = new Session({
  ...{ clientId: "me", clientSecret, storage, logger: tell },
  ...{ authorizationUrl: `${origin}/login`, tokenUrl: `${origin}/token`, redirectUrl: `${origin}/back` },
});
const back = () => {
  const state = new URL(session.getAuthUrl(undefined, {}, "ada")).searchParams.get("state");
  return `${origin}/back?code=${secrets.code}&state=${state}`;
};
// Refused twice, once with a page of HTML; then a state that nobody made; then a login.
for (const url of [back(), back(), back().replace(/state=.*/, "state=other"), back()])
  await attempt(() => session.handleAuthorizationCodeRequest("ada", { url }));
tell("authorised", await session.isAuthorized("ada"));

const store = new Store({
  schema: new Schema({ properties: { name: String, password: String, age: Number } }),
  transporter: new HttpTransporter({
    ...{ baseUrl: `${origin}/api`, path: "people", timeout: 500, headers: { "X-Api-Key": secrets.apiKey } },
  }).use(session.middleware("ada")),
  clientStorage: new StateClientStorage({ storage, userId: "ada" }),
});
await attempt(() => store.onceLoaded());
await attempt(() => store.create({ name: "Ada", age: secrets.password }));
await attempt(() => store.create({ name: "Ada", password: { is: secrets.password } }));
const item = store.create({ name: "Ada", password: secrets.password });
await attempt(() => item.onceSynced());
await attempt(() => store.fetch());
tell(
  store.status,
  store.status.lastError,
  store.pending().map(({ reason }) => reason),
);
// The refresh is refused, too.
await attempt(() => session.revokeToken("ada"));
await attempt(() => session.getAccessToken("ada"));
await store.close();
const stored = JSON.stringify([...states]);
process.send({ texts, stored }, () => process.exit(0));
