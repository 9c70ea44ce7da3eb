/**
 * A server in the place of `fetch`: `answers(of)` → the answer to each request is what `of(request)` gives: `{status, type, headers,
 * text}`. `log` holds the requests, `[method, url, body]`. `restore()` puts the real one back.
 */
export function answering(of) {
  const real = globalThis.fetch;
  const log = [];
  globalThis.fetch = async (request) => {
    const body = await request.text();
    log.push([request.method, request.url, body]);
    const { status = 200, type = "application/json", headers = {}, text } = of(request, body);
    return new Response(text, { status, headers: { "Content-Type": type, ...headers } });
  };
  return { log, restore: () => (globalThis.fetch = real) };
}
