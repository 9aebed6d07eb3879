/** What a judge reads of a message: whose work it is about, and what it says. Read from its text, as any service in any language would. */
import { SAGA_HEADERS } from '../../../src/saga/protocol/wire.ts';

export interface ParsedWire {
  readonly runId: string | null;
  /** The call, whichever round. */
  readonly call: string | null;
  /** Of a reply: what it answers. */
  readonly to: 'command' | 'compensation' | null;
  /** Of a reply. */
  readonly outcome: string | null;
  /** Of a command or its compensation. */
  readonly role: string | null;
}

export function parseWire(wire: string): ParsedWire {
  const { data = {}, headers = {} } = JSON.parse(wire) as {
    readonly data?: Readonly<Record<string, unknown>>;
    readonly headers?: Readonly<Record<string, unknown>>;
  };
  const { runId = headers[SAGA_HEADERS.run], call = headers[SAGA_HEADERS.call], to, outcome } = data;
  return {
    runId: textOr(runId),
    call: textOr(call)?.replace(/!\d+$/, '') ?? null,
    to: to === 'command' || to === 'compensation' ? to : null,
    outcome: textOr(outcome),
    role: textOr(headers[SAGA_HEADERS.role]),
  };
}

function textOr(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
