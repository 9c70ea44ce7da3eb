/** The guide's app: an instance for each request, its state on `req.session`. `docs/state-storage.md` says what it leaves open. */
import express from "express";
import session from "express-session";
import { Session } from "concordia";

export function makeApp(options) {
  const app = express();
  app.use(session({ secret: "keyboard cat", resave: false, saveUninitialized: true }));
  app.use((req, res, next) => {
    req.api = new Session({
      ...options,
      storage: {
        get: () => req.session.state,
        set: (userId, state) => {
          req.session.state = state;
        },
      },
    });
    next();
  });

  app.get("/", async (req, res) => {
    if (await req.api.isAuthorized(req.session.id)) res.send("logged in");
    else res.redirect(req.api.getAuthUrl());
  });
  app.get("/callback", async (req, res) => {
    await req.api.handleAuthorizationCodeRequest(req.session.id, req);
    res.redirect("/");
  });
  return app;
}
