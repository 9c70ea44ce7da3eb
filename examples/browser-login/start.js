/** Serves the page, the package, an API that wants a token, and an authorisation server; prints the page's address. */
import { randomUUID } from "node:crypto";
import express from "express";
import { startAuthorizationServer } from "../authorization-server.js";

const app = express();
const folder = (name) => new URL(name, import.meta.url).pathname;
const site = app.listen(Number(process.env.PORT ?? 0), "127.0.0.1", async () => {
  const origin = `http://127.0.0.1:${site.address().port}`;
  const { options, service } = await startAuthorizationServer(`${origin}/`);
  const tokens = new Set();
  service.on("beforeResponse", ({ body }) => tokens.add(body.access_token));

  app.use("/concordia", express.static(folder("../../pkg")));
  // A page can keep no secret: it is a public client, and PKCE stands in.
  app.get("/options.json", (req, res) => res.json({ ...options, clientSecret: undefined }));
  app.use("/api", express.json(), (req, res, next) =>
    tokens.has(req.headers.authorization?.replace(/^Bearer /, "")) ? next() : res.status(401).json({ title: "log in" }),
  );
  const notes = [];
  app.get("/api/notes", (req, res) => res.json(notes));
  app.post("/api/notes", (req, res) => {
    notes.push({ ...req.body, id: randomUUID() });
    res.status(201).json(notes.at(-1));
  });
  // As if an administrator had ended all sessions.
  app.post("/end-sessions", (req, res) => {
    tokens.clear();
    res.end();
  });
  app.use(express.static(folder(".")));
  console.log(`open ${origin}/`);
});
