/**
 * A line on which everything comes late, and in its order.
 */

/** @param delayMs asked for each piece; pieces behind a late one wait for it */
export function slowLine(delayMs: () => number, deliver: (bytes: Buffer) => void): (bytes: Buffer) => void {
  const waiting: { readonly bytes: Buffer; readonly dueMs: number }[] = [];
  const wait = (ms: number): void => void setTimeout(drain, Math.max(0, ms));

  function drain(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const restMs = next.dueMs - performance.now();
      if (restMs > 0) return wait(restMs);
      waiting.shift();
      deliver(next.bytes);
    }
  }

  return (bytes) => {
    const ms = delayMs();
    if (ms === 0 && waiting.length === 0) return deliver(bytes);
    waiting.push({ bytes, dueMs: performance.now() + ms });
    if (waiting.length === 1) wait(ms);
  };
}
