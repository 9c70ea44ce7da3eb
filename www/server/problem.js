/** Answers that say what went wrong, as `application/problem+json` (RFC 9457). */
export function sendProblem(response, status, title, detail) {
  response.status(status).type("application/problem+json").send(JSON.stringify({ title, status, detail }));
}
