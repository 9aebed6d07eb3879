/**
 * What a verb hands back, and how it is printed: one JSON document on stdout, or text for people.
 */
import { isHoldfastError } from '../../errors.ts';
import { describeFailure } from '../../runtime/describe-failure.ts';
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

/** `error HF_X: what happened`, and the advice on a line of its own. */
export function formatFailure(error: unknown, { style }: Ui): string {
  const { code, message, advice } = describeFailure(error);
  const first = `${style.red('error')} ${style.bold(code)}: ${message}`;
  if (advice !== null) return `${first}\n${style.dim('  →')} ${advice}`;
  const stack =
    !isHoldfastError(error) && error instanceof Error && error.stack !== undefined ? `\n${style.dim(error.stack)}` : '';
  return first + stack;
}
