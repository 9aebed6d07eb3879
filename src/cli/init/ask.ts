/**
 * Questions at a terminal. Where nobody can answer, each has the answer that was given for that case.
 */
import { createInterface, type Interface } from 'node:readline/promises';

export interface Questions {
  /** Whether somebody answers. */
  readonly isThere: boolean;
  choose<T extends string>(question: string, choices: readonly T[], otherwise: T): Promise<T>;
  /** No without an answer. */
  confirm(question: string): Promise<boolean>;
  close(): void;
}

export function createQuestions(isThere: boolean): Questions {
  let terminal: Interface | null = null;
  const ask = (question: string): Promise<string> =>
    (terminal ??= createInterface({ input: process.stdin, output: process.stdout })).question(question);
  return {
    isThere,
    async choose(question, choices, otherwise) {
      if (!isThere) return otherwise;
      for (;;) {
        // Until it is one of them.
        // oxlint-disable-next-line no-await-in-loop
        const answer = (await ask(`${question} (${choices.join(', ')}) [${otherwise}] `)).trim().toLowerCase();
        if (answer === '') return otherwise;
        const found =
          choices.find((choice) => choice === answer) ?? only(choices.filter((choice) => choice.startsWith(answer)));
        if (found !== undefined) return found;
      }
    },
    async confirm(question) {
      return isThere && /^y(es)?$/i.test((await ask(`${question} [y/N] `)).trim());
    },
    close: () => terminal?.close(),
  };
}

function only<T>(found: readonly T[]): T | undefined {
  return found.length === 1 ? found[0] : undefined;
}
