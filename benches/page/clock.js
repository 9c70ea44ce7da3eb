/** How long work takes, and how long it keeps the main thread from anything else. */

/** Milliseconds until the promise of `work()` settles and, if watched, the longest span in which no message got through. */
export async function timed(work, watched) {
  const watch = watched ? watchThread() : undefined;
  await nextTask();
  const start = performance.now();
  await work();
  const time = performance.now() - start;
  return { time, block: watch?.end() };
}

export function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** Sends itself message after message: the longest span between two of them is what other events had to wait. */
function watchThread() {
  const { port1, port2 } = new MessageChannel();
  let last = performance.now();
  let longest = 0;
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  port1.onmessage = () => {
    look();
    port2.postMessage(undefined);
  };
  port2.postMessage(undefined);
  return {
    end() {
      look();
      port1.close();
      return longest;
    },
  };
}
