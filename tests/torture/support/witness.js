/**
 * Whoever hears what pages say, outside of the browser that is killed: what has arrived here was true, and stays known.
 *
 * - `await witness(heard)` → `{ url, session, close() }`. A page that connects is given the next number; `heard(number, message)` is called
 *   for each message in order.
 * - `session`: the last that connected, `{ number, query, say(message), closed }`; when `closed` has settled, all that it said was heard.
 */
import { once } from "node:events";
import { WebSocketServer } from "ws";

export async function witness(heard) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const self = {
    url: `ws://127.0.0.1:${server.address().port}`,
    session: undefined,
    async close() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      await once(server, "close");
    },
  };
  let sessions = 0;
  server.on("connection", (socket, { url }) => {
    const number = ++sessions;
    self.session = {
      number,
      query: new URL(url, self.url).search,
      say: (message) => socket.send(JSON.stringify(message)),
      closed: once(socket, "close"),
    };
    socket.on("error", () => {});
    socket.on("message", (data) => heard(number, JSON.parse(data)));
    self.session.say({ number });
  });
  return self;
}
