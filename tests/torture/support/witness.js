/**
 * Whoever hears what pages say, outside of the browser that is killed: what has arrived here was true, and stays known.
 *
 * - `await witness(heard)` → `{ url, sessions, close() }`. A page that connects is a session, and is given the next number;
 *   `heard(session, message)` is called for each message of it in order.
 * - `sessions`: query of the page → the last session of it, `{ number, say(message), closed }`; when `closed` has settled, all that it
 *   said was heard.
 */
import { once } from "node:events";
import { WebSocketServer } from "ws";

export async function witness(heard) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const self = {
    url: `ws://127.0.0.1:${server.address().port}`,
    sessions: new Map(),
    async close() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      await once(server, "close");
    },
  };
  let sessions = 0;
  server.on("connection", (socket, { url }) => {
    const session = {
      number: ++sessions,
      say: (message) => socket.send(JSON.stringify(message)),
      closed: once(socket, "close"),
    };
    self.sessions.set(new URL(url, self.url).search, session);
    socket.on("error", () => {});
    socket.on("message", (data) => heard(session, JSON.parse(data)));
    session.say({ number: session.number });
  });
  return self;
}
