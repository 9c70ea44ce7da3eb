/**
 * How the fuzz tests draw and repeat.
 *
 * - `holds(t, runs, ...arbitraries, check)` draws `runs` times and checks; the check may be asynchronous. What fails is made
 *   small, and printed with its seed and path, by fast-check. The seed is fixed, so that a run can be repeated.
 *
 * FUZZ_TIMES=100 draws a hundred times as often; FUZZ_SEED draws other cases.
 */
import fc from "fast-check";

const TIMES = Number(process.env.FUZZ_TIMES ?? 1);
/** Nothing that is drawn takes as long, unless it hangs. */
const LIMIT_MS = 20_000;
const SEED = Number(process.env.FUZZ_SEED ?? 5_6_2024);

export async function holds(t, runs, ...rest) {
  const check = rest.pop();
  const numRuns = Math.ceil(runs * TIMES);
  const started = performance.now();
  await fc.assert(
    fc.asyncProperty(...rest, async (...drawn) => {
      await check(...drawn);
    }),
    { timeout: LIMIT_MS, seed: SEED, numRuns, includeErrorInReport: true },
  );
  t.diagnostic(`${numRuns} cases in ${((performance.now() - started) / 1000).toFixed(1)} s, seed ${SEED}`);
}
