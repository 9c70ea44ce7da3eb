/** Starts the app and an authorisation server, and prints the app's address. `guide` as argument: the guide's app. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { startAuthorizationServer } from "../authorization-server.js";
import { makeApp } from "./app.js";
import { makeApp as makeGuideApp } from "./guide-app.js";

const isGuide = process.argv[2] === "guide";
const server = createServer();
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", async () => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  const { options } = await startAuthorizationServer(`${origin}/callback`);
  const own = { secret: process.env.SESSION_SECRET ?? randomBytes(32).toString("hex"), secure: false };
  server.on("request", isGuide ? makeGuideApp(options) : makeApp(options, own));
  console.log(`open ${origin}/`);
});
