/**
 * Waits for what another process does and does not announce. Within one process await a signal instead.
 * The limit only ends what hangs: it is many times what a machine needs that has other things to do.
 */

/** Calls `probe` until it gives something other than undefined and false; rejects after `timeoutMs`, naming `what`. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false>,
  timeoutMs = 120_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what}.`);
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}
