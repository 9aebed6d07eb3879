/**
 * Notices that the npx or npm script that started this process has ended. They run it below a shell of their own; a SIGTERM sent
 * to them ends them and that shell, and reaches nobody else, so that the daemon would go on for ever, unseen.
 */

/** How often the parent is looked at, in milliseconds. */
const LOOK_EVERY_MS = 500;

export interface ParentChange {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The parent's process id now. */
  readonly parent: () => number;
}

/**
 * Calls `onLost` once when the parent is another one than at the call. Watches only what npm started (npx, npm exec, npm run, and
 * other package managers that set the same variables): whoever starts a daemon by nohup or from a shell that ends wants it to stay.
 * Returns what ends the watch.
 */
export function watchParent(
  onLost: () => void,
  facts: ParentChange = { env: process.env, parent: () => process.ppid },
): () => void {
  const first = facts.parent();
  if (!startedByNpm(facts.env) || first <= 1) return () => {};
  const timer = setInterval(() => {
    if (facts.parent() === first) return;
    clearInterval(timer);
    onLost();
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function startedByNpm(env: ParentChange['env']): boolean {
  return ['npm_command', 'npm_lifecycle_event', 'npm_execpath'].some((name) => (env[name] ?? '') !== '');
}
