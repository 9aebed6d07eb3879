/**
 * What a verb hands back, and how it is printed: one JSON document on stdout, or text for people.
 */
import { isHoldfastError } from '../../errors.ts';
import type { Style } from './style.ts';

export interface Ui {
  readonly style: Style;
  /** Columns of the terminal; Infinity when the output goes elsewhere. */
  readonly width: number;
}

export interface VerbReport {
  /** What --json prints. */
  readonly json: unknown;
  readonly text: (ui: Ui) => string;
  /** Default 0. */
  readonly exitCode?: number;
}

/** `message` without the advice that a HoldfastError ends it with. */
export function describeFailure(error: unknown): { code: string; message: string; advice: string | null } {
  if (!isHoldfastError(error)) {
    const message = error instanceof Error ? error.message : String(error);
    return { code: 'UNEXPECTED', message: message === '' ? 'unknown' : message, advice: null };
  }
  const advice = error.advice ?? null;
  const message =
    advice !== null && error.message.endsWith(advice) ? error.message.slice(0, -advice.length).trim() : error.message;
  return { code: error.code, message, advice };
}

/** `error HF_X: what happened`, and the advice on a line of its own. */
export function formatFailure(error: unknown, { style }: Ui): string {
  const { code, message, advice } = describeFailure(error);
  const first = `${style.red('error')} ${style.bold(code)}: ${message}`;
  if (advice !== null) return `${first}\n${style.dim('  →')} ${advice}`;
  const stack =
    !isHoldfastError(error) && error instanceof Error && error.stack !== undefined ? `\n${style.dim(error.stack)}` : '';
  return first + stack;
}
