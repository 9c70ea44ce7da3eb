/** The same for production: `docs/state-storage.md` says why of each difference. */
import express from "express";
import session from "express-session";
import { ConcordiaError, Session } from "concordia";

/** `secret` signs the cookie; `store` is where express-session keeps sessions; `secure` for pages over https. */
export function makeApp(options, { secret, store, secure = true }) {
  const app = express();
  app.set("trust proxy", 1);
  const cookie = { httpOnly: true, secure, sameSite: "lax" };
  app.use(session({ name: "sid", secret, store, cookie, resave: false, saveUninitialized: false }));
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

  app.get(
    "/",
    handled(async (req, res) => {
      if (await req.api.isAuthorized(req.session.id)) return res.send("logged in");
      return res.send('<a href="/login">Log in</a>');
    }),
  );
  // The login is begun for this user, and kept in this session: no other can end it.
  app.get("/login", (req, res) => res.redirect(req.api.getAuthUrl(undefined, {}, req.session.id)));
  app.get(
    "/callback",
    handled(async (req, res) => {
      await req.api.handleAuthorizationCodeRequest(req.session.id, req);
      await regenerate(req);
      res.redirect("/");
    }),
  );
  app.post(
    "/logout",
    handled(async (req, res) => {
      await req.api.revokeToken(req.session.id);
      await new Promise((resolve, reject) => req.session.destroy((error) => (error ? reject(error) : resolve())));
      res.redirect("/");
    }),
  );
  app.use((error, req, res, next) => {
    if (res.headersSent || !(error instanceof ConcordiaError)) return next(error);
    // A login that was begun elsewhere, or too long ago, is no failure of this server; a storage that fails is.
    const isTheirs = ["E_AUTH_STATE", "E_AUTH", "E_SESSION"].includes(error.code);
    return res.status(isTheirs ? 400 : 503).send(isTheirs ? "Please log in again." : "Please try again later.");
  });
  return app;
}

/** express 4 does not see rejections. */
const handled = (act) => (req, res, next) => act(req, res).catch(next);

/** Another session id after the login: whoever knew the one before is not logged in with it. */
async function regenerate(req) {
  const { state } = req.session;
  await new Promise((resolve, reject) => req.session.regenerate((error) => (error ? reject(error) : resolve())));
  req.session.state = state;
}
