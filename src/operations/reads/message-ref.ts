/**
 * A message as lists and paths name it: what stands in its row, and whose it is by its attributes.
 */
import { readWireCall } from '../../saga/definition/call-id.ts';
import { SAGA_HEADERS, type CallRole } from '../../saga/protocol/wire.ts';

/** The call of a run that a command or its compensation is for, as its headers say. */
export interface CallOfRun {
  readonly run: string;
  readonly call: string;
  readonly role: CallRole;
}

/** A message of the log, in short. */
export interface MessageRef {
  readonly id: string;
  readonly seq: number;
  readonly topic: string;
  readonly key: string | null;
  readonly createdAt: Date;
  readonly correlationId: string | null;
  /** The message whose handling sent it. */
  readonly causationId: string | null;
  /** Of commands of sagas and their compensations; null for all others. */
  readonly command: CallOfRun | null;
}

/** As {@link refColumns} has them. */
export interface RefRow {
  readonly id: string;
  readonly seq: string;
  readonly topic: string;
  readonly key: string | null;
  readonly at: number;
  readonly correlation: string | null;
  readonly causation: string | null;
  readonly run: string | null;
  readonly call: string | null;
  readonly role: string | null;
}

/** Columns of the outbox, named by `alias`, for rows that go through JSON. */
export function refColumns(alias: string): string {
  const attribute = (name: string): string => `${alias}.headers ->> '${name}'`;
  const header = (name: string): string => `${alias}.headers -> 'headers' ->> '${name}'`;
  return `${alias}.id, ${alias}.seq::text AS seq, ${alias}.topic, ${alias}.key,
    extract(epoch FROM ${alias}.created_at)::float8 * 1000 AS at, ${attribute('correlationid')} AS correlation,
    ${attribute('causationid')} AS causation, ${header(SAGA_HEADERS.run)} AS run, ${header(SAGA_HEADERS.call)} AS call,
    ${header(SAGA_HEADERS.role)} AS role`;
}

/** Pure. */
export function toMessageRef(row: RefRow): MessageRef {
  const { id, seq, topic, key, at, correlation, causation, run, call, role } = row;
  return {
    id,
    seq: Number(seq),
    topic,
    key,
    createdAt: new Date(at),
    correlationId: correlation,
    causationId: causation,
    command:
      run === null || call === null
        ? null
        : {
            run: run.toLowerCase(),
            call: readWireCall(call).id,
            role: role === 'compensation' ? 'compensation' : 'command',
          },
  };
}
