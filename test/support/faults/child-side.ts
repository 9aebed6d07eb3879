/**
 * What the child programs share: their settings, telling the parent, a log on stderr, and the end.
 */
import { writeSync } from 'node:fs';
import type { Logger } from '../../../src/runtime/log.ts';

export function settings(): unknown {
  return JSON.parse(process.argv[2] ?? '{}');
}

/** Written at once, so that it is out before the process may die. */
export function tell(event: string, fields: object = {}): void {
  writeSync(1, `${JSON.stringify({ event, ...fields })}\n`);
}

/** Resolves when the parent asks for the end, or is gone itself. */
export function asked(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.resume();
    process.stdin.once('end', () => resolve());
    process.stdin.once('close', () => resolve());
  });
}

/** Info and worse on stderr; errors of the log are told as events by code, since some tests wait for them. */
export const stderrLogger: Logger = {
  debug: () => {},
  info: (fields, message) => line('info', fields, message),
  warn: (fields, message) => line('warn', fields, message),
  error: (fields, message) => line('error', fields, message),
  child: () => stderrLogger,
};

function line(level: string, fields: object, message: string): void {
  const { err } = fields as { readonly err?: unknown };
  const code = err instanceof Error && 'code' in err ? err.code : undefined;
  if (level === 'error') tell('error', { message, code });
  const reason = err instanceof Error ? `: ${err.message}` : '';
  writeSync(
    2,
    `${performance.now().toFixed(0)} ${level} ${message}${reason} ${JSON.stringify({ ...fields, err: undefined })}\n`,
  );
}
