/**
 * `npm run soak`: for hours on real servers, with all that can go wrong. What it does stands in its usage (options.ts) and in docs/guarantees.md.
 */
import { runLeg } from './leg.ts';
import { readSoakOptions, USAGE } from './options.ts';
import { progressLine, summaryOf } from './report.ts';

const SAY_EVERY_MS = 5_000;

const cleanUps: (() => Promise<unknown>)[] = [];
let saidMs = 0;
let say = (line: string): void => void process.stdout.write(`${line}\n`);

await end(await soak().catch((error: unknown) => fail(error)));

async function end(code: number): Promise<never> {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp().catch(() => {});
  process.exit(code);
}

function fail(error: unknown): number {
  say(error instanceof Error ? error.message : String(error));
  return 1;
}

/** Resolves with the exit code. */
async function soak(): Promise<number> {
  const options = readSoakOptions(process.argv.slice(2));
  if (options === 'help') {
    say(USAGE);
    return 0;
  }
  if (options.json) say = (line) => void process.stderr.write(`${line}\n`);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      // The second time it is meant: what is under way is left as it is.
      if (interrupted.signal.aborted) void end(130);
      interrupted.abort();
    });
  say(`Holdfast, a soak of ${options.minutes} min (--seed ${options.seed})`);
  const outcome = await runLeg({
    ...options,
    signal: interrupted.signal,
    say,
    cleanUps,
    onProgress(progress) {
      if (performance.now() - saidMs < SAY_EVERY_MS) return;
      saidMs = performance.now();
      say(progressLine(progress));
    },
  });
  say(summaryOf(outcome));
  if (options.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
  return outcome.ok ? 0 : 1;
}
