/** A page with a login: PKCE, then a store whose requests carry the session's token. Offline it shows and takes what is here. */
import init, {
  HttpTransporter,
  IndexedDbClientStorage,
  IndexedDbStateStorage,
  Schema,
  Session,
  Store,
} from "/concordia/index.js";

/** There is one person at a time in this browser; whoever has several keeps a store and a database for each. */
const USER = "me";
const find = (selector) => document.querySelector(selector);

await init();
const session = new Session({ ...(await (await fetch("/options.json")).json()), storage: new IndexedDbStateStorage() });

const asked = new URLSearchParams(location.search);
if (asked.has("state")) {
  // Out of the address first: neither the history nor a reload needs the code.
  const url = location.href;
  history.replaceState(null, "", "/");
  await session.handleAuthorizationCodeRequest(USER, { url }).catch(tell);
}

const notes = new Store({
  schema: new Schema({ properties: { text: String } }),
  transporter: new HttpTransporter({ baseUrl: "/api", path: "notes" }).use(session.middleware(USER)),
  clientStorage: new IndexedDbClientStorage(),
});
notes.subscribe(show);
find("#login").onclick = () => location.assign(session.getAuthUrl(undefined, {}, USER));
find("#logout").onclick = async () => {
  await session.revokeToken(USER).catch(tell);
  await show();
};
find("form").onsubmit = (event) => {
  event.preventDefault();
  notes.create({ text: find("input").value });
  event.target.reset();
};
await notes.onceLoaded().catch(tell);
await show();

async function show() {
  find("ul").replaceChildren(
    ...notes.items.map(({ text }) => Object.assign(document.createElement("li"), { textContent: text })),
  );
  // A storage that fails does not mean that nobody is logged in.
  const isAuthorized = await session.isAuthorized(USER).catch(tell);
  const { connection, pending } = notes.status;
  find("[role=status]").textContent = `${isAuthorized ? "logged in" : "logged out"}, ${connection}, ${pending} to send`;
  find("#login").hidden = isAuthorized !== false;
  find("#logout").hidden = !isAuthorized;
  find("form").hidden = false;
}

function tell(error) {
  console.warn(error.code ?? error);
}
